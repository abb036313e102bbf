/** `text.format(...)`, as string.Formatter reads it. */
import { asciiRepr } from "./ascii_repr.ts";
import { formatValue } from "./format_spec.ts";
import { repr, str } from "../values/repr.ts";
import { type Kwargs, PyError, type Value } from "../values/value.ts";

/** How a field's `.name` and `[key]` are looked up. */
interface FieldLookup {
  attribute(value: Value, name: string): Value;
  item(value: Value, key: Value): Value;
}

/** Throws a `PyError` whenever Python raises. */
export function strFormat(
  format: string,
  args: readonly Value[],
  kwargs: Kwargs,
  lookup: FieldLookup,
): string {
  return new Formatter(args, kwargs, lookup).format(format, 2);
}

class Formatter {
  readonly #args: readonly Value[];
  readonly #kwargs: Kwargs;
  readonly #lookup: FieldLookup;
  /** The next automatic number; false once a field has a number of its own. */
  #auto: number | false = 0;

  constructor(args: readonly Value[], kwargs: Kwargs, lookup: FieldLookup) {
    this.#args = args;
    this.#kwargs = kwargs;
    this.#lookup = lookup;
  }

  format(text: string, depth: number): string {
    if (depth < 0) throw new PyError("ValueError", "Max string recursion exceeded");
    let result = "";
    let at = 0;
    while (at < text.length) {
      const char = text[at]!;
      if (char !== "{" && char !== "}") {
        const next = text.slice(at).search(/[{}]/);
        const end = next === -1 ? text.length : at + next;
        result += text.slice(at, end);
        at = end;
      } else if (text[at + 1] === char) {
        result += char;
        at += 2;
      } else if (char === "}") {
        throw new PyError("ValueError", "Single '}' encountered in format string");
      } else {
        const end = this.#fieldEnd(text, at + 1);
        result += this.#field(text.slice(at + 1, end), depth);
        at = end + 1;
      }
    }
    return result;
  }

  #fieldEnd(text: string, start: number): number {
    let open = 1;
    let inBrackets = false;
    for (let at = start; at < text.length; at++) {
      const char = text[at];
      if (char === "[" && open === 1) inBrackets = true;
      else if (char === "]") inBrackets = false;
      else if (inBrackets) continue;
      else if (char === "{") open++;
      else if (char === "}" && --open === 0) return at;
    }
    throw new PyError(
      "ValueError",
      start >= text.length ? "Single '{' encountered in format string" : "expected '}' before end of string",
    );
  }

  #field(inside: string, depth: number): string {
    const match = /^((?:[^!:[]|\[[^\]]*\])*)(?:!([\s\S]?))?(?::([\s\S]*))?$/u.exec(inside);
    if (match === null) throw new PyError("ValueError", "expected ':' after conversion specifier");
    const [, name, conversion, spec] = match;
    let value = this.#value(name!);
    if (conversion === "r") value = repr(value);
    else if (conversion === "s") value = str(value);
    else if (conversion === "a") value = asciiRepr(value);
    else if (conversion !== undefined) {
      throw new PyError("ValueError", `Unknown conversion specifier ${conversion}`);
    }
    return formatValue(value, this.format(spec ?? "", depth - 1));
  }

  #value(name: string): Value {
    if (name === "") return this.#next();
    if (/^\d+$/.test(name)) {
      if (this.#auto) throw mixedNumbering();
      this.#auto = false;
    }
    const match = /^([^.[]*)((?:\.[^.[]+|\[[^\]]+\])*)$/u.exec(name);
    if (match === null) throw new PyError("ValueError", "Empty attribute in format string");
    let value = this.#argument(match[1]!);
    for (const [, attribute, key] of match[2]!.matchAll(/\.([^.[]+)|\[([^\]]+)\]/gu)) {
      if (attribute !== undefined) value = this.#lookup.attribute(value, attribute);
      else value = this.#lookup.item(value, /^\d+$/.test(key!) ? BigInt(key!) : key!);
    }
    return value;
  }

  #next(): Value {
    if (this.#auto === false) throw mixedNumbering();
    return this.#place(this.#auto++);
  }

  #argument(first: string): Value {
    if (/^\d+$/.test(first)) return this.#place(Number(first));
    const value = this.#kwargs.get(first);
    if (value === undefined) throw new PyError("KeyError", repr(first));
    return value;
  }

  #place(index: number): Value {
    const value = this.#args[index];
    if (value === undefined) {
      throw new PyError("IndexError", "Replacement index out of range for positional args tuple");
    }
    return value;
  }
}

function mixedNumbering(): PyError {
  return new PyError("ValueError", "cannot switch between manual and automatic field numbering");
}
