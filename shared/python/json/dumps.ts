/** `json.dumps`, with the arguments that transformers' `tojson` passes on. */
import { compareText } from "../text/compare.ts";
import { floatRepr } from "../numbers/float_repr.ts";
import { PyError, typeName, type Value } from "../values/value.ts";

interface DumpsOptions {
  readonly ensureAscii?: boolean;
  /** Spaces a level, or the text itself; null: all in one line. */
  readonly indent?: number | string | null;
  /** Between items, and between a key and its value; the default depends on `indent`, as in Python. */
  readonly separators?: readonly [string, string] | null;
  readonly sortKeys?: boolean;
}

/** Python refuses about as deep a nesting. */
const MAX_DEPTH = 990;

/** Throws a `PyError` whenever Python raises: values that are not JSON, keys that are none, keys that cannot be sorted. */
export function dumps(value: Value, options: DumpsOptions = {}): string {
  const { ensureAscii = false, indent = null, sortKeys = false } = options;
  const step = typeof indent === "number" ? " ".repeat(Math.max(0, indent)) : indent;
  const [comma, colon] = options.separators ?? (step === null ? [", ", ": "] : [",", ": "]);
  const quoted = ensureAscii ? quoteAscii : quoteText;
  const parts: string[] = [];

  const write = (value: Value, depth: number): void => {
    if (typeof value === "string") parts.push(quoted(value));
    else if (typeof value !== "object" || value === null) parts.push(scalar(value));
    else if (depth > MAX_DEPTH) {
      throw new PyError("RecursionError", "maximum recursion depth exceeded while encoding a JSON object");
    } else if (Array.isArray(value)) writeList(value, depth);
    else if (value instanceof Map) writeFields(value, depth);
    else {
      throw new PyError("TypeError", `Object of type ${typeName(value)} is not JSON serializable`);
    }
  };
  const newLine = (depth: number) => step === null ? "" : `\n${step.repeat(depth)}`;
  const writeList = (items: readonly Value[], depth: number): void => {
    if (items.length === 0) {
      parts.push("[]");
      return;
    }
    let before = `[${newLine(depth + 1)}`;
    for (const item of items) {
      parts.push(before);
      write(item, depth + 1);
      before = comma + newLine(depth + 1);
    }
    parts.push(newLine(depth), "]");
  };
  const writeFields = (fields: ReadonlyMap<Value, Value>, depth: number): void => {
    if (fields.size === 0) {
      parts.push("{}");
      return;
    }
    let before = `{${newLine(depth + 1)}`;
    for (const [key, field] of sortKeys ? sorted(fields) : fields) {
      parts.push(before, quoted(keyText(key)), colon);
      write(field, depth + 1);
      before = comma + newLine(depth + 1);
    }
    parts.push(newLine(depth), "}");
  };

  write(value, 0);
  return parts.join("");
}

function scalar(value: null | boolean | bigint | number): string {
  if (typeof value !== "number") return String(value);
  if (Number.isFinite(value)) return floatRepr(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

function keyText(key: Value): string {
  if (typeof key === "string") return key;
  if (typeof key !== "object" || key === null) return scalar(key);
  throw new PyError("TypeError", `keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function sorted(fields: ReadonlyMap<Value, Value>): [Value, Value][] {
  return [...fields].sort(([left], [right]) => {
    if (typeof left === "string" && typeof right === "string") return compareText(left, right);
    if (isNumeric(left) && isNumeric(right)) return Number(left) - Number(right);
    throw new PyError(
      "TypeError",
      `'<' not supported between instances of '${typeName(right)}' and '${typeName(left)}'`,
    );
  });
}

function isNumeric(value: Value): value is boolean | bigint | number {
  return typeof value === "boolean" || typeof value === "bigint" || typeof value === "number";
}

// deno-lint-ignore no-control-regex -- control characters are what JSON escapes
const NEEDS_ESCAPE = /["\\\u0000-\u001f]/g;
const BEYOND_ASCII = /["\\]|[^ -~]/g;
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

function quoteText(text: string): string {
  return `"${text.replace(NEEDS_ESCAPE, escapeUnit)}"`;
}

function quoteAscii(text: string): string {
  return `"${text.replace(BEYOND_ASCII, escapeUnit)}"`;
}

function escapeUnit(unit: string): string {
  return SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
