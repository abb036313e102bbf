/**
 * JSON as Python's `json.loads` reads it: integers keep all digits, 1.0 stays a float, keys keep their order (a key that
 * comes twice keeps its first place and its last value), and NaN, Infinity and -Infinity are numbers, as Python itself
 * writes them. `JSON.parse` with a reviver sees the digits, but loses the order of keys such as "10".
 */
import type { PyValue } from "../values/value.ts";

/** Text that is not JSON: `offset` counts UTF-16 units from 0. */
export class JsonSyntaxError extends Error {
  override readonly name = "JsonSyntaxError";
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** Python refuses about as deep a nesting; a deeper one would overflow the stack. */
const MAX_DEPTH = 990;
/** Python's own bound: reading an integer takes time that grows with the square of its digits. */
const MAX_INTEGER_DIGITS = 4300;
/** Integers of so many digits are exact as a number. */
const SAFE_DIGITS = 15;

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** Throws a `JsonSyntaxError` that names the place and what is needed there. */
export function parseJson(text: string): PyValue {
  return new JsonReader(text).read();
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

class JsonReader {
  readonly #text: string;
  readonly #number = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?/y;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): PyValue {
    this.#skipSpace();
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#expected("the end of the text");
    return value;
  }

  #value(depth: number): PyValue {
    switch (this.#text[this.#at]) {
      case '"':
        return this.#string();
      case "{":
        return this.#object(depth + 1);
      case "[":
        return this.#array(depth + 1);
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      case "N":
        return this.#word("NaN", NaN);
      case "I":
        return this.#word("Infinity", Infinity);
      case "-":
        if (this.#text[this.#at + 1] === "I") return this.#word("-Infinity", -Infinity);
    }
    return this.#numeral();
  }

  #object(depth: number): Map<string, PyValue> {
    this.#enter(depth);
    const fields = new Map<string, PyValue>();
    if (this.#passes("}")) return fields;
    do {
      this.#skipSpace();
      if (this.#text.charCodeAt(this.#at) !== QUOTE) {
        throw this.#expected(fields.size === 0 ? `a key in double quotes or "}"` : "a key in double quotes");
      }
      const key = this.#string();
      if (!this.#passes(":")) throw this.#expected(`":" after the key ${JSON.stringify(cut(key))}`);
      this.#skipSpace();
      fields.set(key, this.#value(depth));
    } while (this.#passes(","));
    if (!this.#passes("}")) throw this.#expected(`"," or "}"`);
    return fields;
  }

  #array(depth: number): PyValue[] {
    this.#enter(depth);
    const items: PyValue[] = [];
    if (this.#passes("]")) return items;
    do {
      this.#skipSpace();
      items.push(this.#value(depth));
    } while (this.#passes(","));
    if (!this.#passes("]")) throw this.#expected(`"," or "]"`);
    return items;
  }

  #enter(depth: number): void {
    if (depth > MAX_DEPTH) {
      throw new JsonSyntaxError(`is nested deeper than ${MAX_DEPTH} levels`, this.#at);
    }
    this.#at++;
  }

  #string(): string {
    const start = ++this.#at;
    const text = this.#text;
    let at = start;
    for (;; at++) {
      const unit = text.charCodeAt(at);
      if (unit === QUOTE) break;
      if (unit === BACKSLASH || unit < SPACE || at >= text.length) return this.#escapedString(start, at);
    }
    this.#at = at + 1;
    return text.slice(start, at);
  }

  /** The rest of a string from its first place that is no plain character. */
  #escapedString(start: number, first: number): string {
    const text = this.#text;
    const parts = [text.slice(start, first)];
    let at = first;
    for (;;) {
      if (at >= text.length) {
        throw this.#expected(`the closing quote of the text that begins ${this.#place(start - 1)}`, at);
      }
      const unit = text.charCodeAt(at);
      if (unit === QUOTE) break;
      if (unit < SPACE) {
        const written = `\\u${unit.toString(16).padStart(4, "0")}`;
        throw this.#expected(`an escape: a control character inside a text is written ${written}`, at);
      }
      if (unit === BACKSLASH) {
        const { value, end } = this.#escape(at);
        parts.push(value);
        at = end;
        continue;
      }
      let end = at + 1;
      while (end < text.length && isPlain(text.charCodeAt(end))) end++;
      parts.push(text.slice(at, end));
      at = end;
    }
    this.#at = at + 1;
    return parts.join("");
  }

  #escape(at: number): { value: string; end: number } {
    const letter = this.#text[at + 1] ?? "";
    const plain = ESCAPES[letter];
    if (plain !== undefined) return { value: plain, end: at + 2 };
    const digits = this.#text.slice(at + 2, at + 6);
    if (letter !== "u" || !/^[0-9a-fA-F]{4}$/.test(digits)) {
      throw this.#expected(`one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX`, at);
    }
    return { value: String.fromCharCode(parseInt(digits, 16)), end: at + 6 };
  }

  #numeral(): bigint | number {
    this.#number.lastIndex = this.#at;
    const match = this.#number.exec(this.#text);
    if (match === null) throw this.#expected("a value");
    const [digits, fraction, exponent] = match;
    if (fraction === undefined && exponent === undefined) {
      if (digits.length - (digits[0] === "-" ? 1 : 0) > MAX_INTEGER_DIGITS) {
        throw new JsonSyntaxError(`has an integer of more than ${MAX_INTEGER_DIGITS} digits`, this.#at);
      }
      this.#at += digits.length;
      return digits.length <= SAFE_DIGITS ? BigInt(Number(digits)) : BigInt(digits);
    }
    this.#at += digits.length;
    return Number(digits);
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#expected("a value");
    this.#at += word.length;
    return value;
  }

  /** Steps over white space and the mark, if that is what comes. */
  #passes(mark: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== mark) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;; this.#at++) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
    }
  }

  #expected(what: string, at = this.#at): JsonSyntaxError {
    const found = at >= this.#text.length
      ? "the text ends"
      : `found ${JSON.stringify(cut(this.#text.slice(at, at + 24)))}`;
    return new JsonSyntaxError(`${found} ${this.#place(at)}; expected ${what}`, at);
  }

  #place(at: number): string {
    return `at character ${at + 1}`;
  }
}

function isPlain(unit: number): boolean {
  return unit !== QUOTE && unit !== BACKSLASH && unit >= SPACE;
}

function cut(text: string): string {
  return text.length <= 20 ? text : `${text.slice(0, 20)}...`;
}
