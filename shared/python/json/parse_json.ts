/**
 * JSON as Python's `json.loads` reads it: integers keep all digits, 1.0 stays a float, keys keep their order (a key that
 * comes twice keeps its first place and its last value), and NaN, Infinity and -Infinity are numbers, as Python itself
 * writes them. `JSON.parse` with a reviver sees the digits, but loses the order of keys such as "10".
 */
import { cut, JsonCursor, JsonSyntaxError } from "./json_cursor.ts";
import { readString } from "./read_string.ts";
import type { PyValue } from "../values/value.ts";

/** Python refuses about as deep a nesting; a deeper one would overflow the stack. */
const MAX_DEPTH = 990;
/** Python's own bound: reading an integer takes time that grows with the square of its digits. */
const MAX_INTEGER_DIGITS = 4300;
/** Integers of so many digits are exact as a number. */
const SAFE_DIGITS = 15;

/** Throws a `JsonSyntaxError` that names the place and what is needed there. */
export function parseJson(text: string): PyValue {
  const cursor = new JsonCursor(text);
  cursor.skipSpace();
  const value = readValue(cursor, 0);
  cursor.skipSpace();
  if (cursor.at < text.length) throw cursor.expected("the end of the text");
  return value;
}

function readValue(cursor: JsonCursor, depth: number): PyValue {
  switch (cursor.text[cursor.at]) {
    case '"':
      return readString(cursor);
    case "{":
      return readObject(cursor, depth + 1);
    case "[":
      return readArray(cursor, depth + 1);
    case "t":
      return readWord(cursor, "true", true);
    case "f":
      return readWord(cursor, "false", false);
    case "n":
      return readWord(cursor, "null", null);
    case "N":
      return readWord(cursor, "NaN", NaN);
    case "I":
      return readWord(cursor, "Infinity", Infinity);
    case "-":
      if (cursor.text[cursor.at + 1] === "I") return readWord(cursor, "-Infinity", -Infinity);
  }
  return readNumber(cursor);
}

function readObject(cursor: JsonCursor, depth: number): Map<string, PyValue> {
  enter(cursor, depth);
  const fields = new Map<string, PyValue>();
  if (cursor.passes("}")) return fields;
  do {
    cursor.skipSpace();
    if (cursor.text[cursor.at] !== '"') {
      throw cursor.expected(fields.size === 0 ? `a key in double quotes or "}"` : "a key in double quotes");
    }
    const key = readString(cursor);
    if (!cursor.passes(":")) throw cursor.expected(`":" after the key ${JSON.stringify(cut(key))}`);
    cursor.skipSpace();
    fields.set(key, readValue(cursor, depth));
  } while (cursor.passes(","));
  if (!cursor.passes("}")) throw cursor.expected(`"," or "}"`);
  return fields;
}

function readArray(cursor: JsonCursor, depth: number): PyValue[] {
  enter(cursor, depth);
  const items: PyValue[] = [];
  if (cursor.passes("]")) return items;
  do {
    cursor.skipSpace();
    items.push(readValue(cursor, depth));
  } while (cursor.passes(","));
  if (!cursor.passes("]")) throw cursor.expected(`"," or "]"`);
  return items;
}

function enter(cursor: JsonCursor, depth: number): void {
  if (depth > MAX_DEPTH) throw new JsonSyntaxError(`is nested deeper than ${MAX_DEPTH} levels`, cursor.at);
  cursor.at++;
}

const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?/y;

function readNumber(cursor: JsonCursor): bigint | number {
  NUMBER.lastIndex = cursor.at;
  const match = NUMBER.exec(cursor.text);
  if (match === null) throw cursor.expected("a value");
  const [digits, fraction, exponent] = match;
  const isInteger = fraction === undefined && exponent === undefined;
  if (isInteger && digits.length - (digits[0] === "-" ? 1 : 0) > MAX_INTEGER_DIGITS) {
    throw new JsonSyntaxError(`has an integer of more than ${MAX_INTEGER_DIGITS} digits`, cursor.at);
  }
  cursor.at += digits.length;
  if (!isInteger) return Number(digits);
  return digits.length <= SAFE_DIGITS ? BigInt(Number(digits)) : BigInt(digits);
}

function readWord<T>(cursor: JsonCursor, word: string, value: T): T {
  if (!cursor.text.startsWith(word, cursor.at)) throw cursor.expected("a value");
  cursor.at += word.length;
  return value;
}
