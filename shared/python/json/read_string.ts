import { type JsonCursor, placeOf } from "./json_cursor.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
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

/** The string whose opening quote stands here; the cursor moves behind its closing one. */
export function readString(cursor: JsonCursor): string {
  const { text } = cursor;
  const start = cursor.at + 1;
  const end = plainEnd(text, start);
  if (text.charCodeAt(end) !== QUOTE) return readEscaped(cursor, start, end);
  cursor.at = end + 1;
  return text.slice(start, end);
}

/** The first position from `at` on that holds no plain character. */
function plainEnd(text: string, at: number): number {
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE || unit === BACKSLASH || unit < SPACE) break;
  }
  return at;
}

/** A string that begins at `start` and is plain up to `at`. */
function readEscaped(cursor: JsonCursor, start: number, at: number): string {
  const { text } = cursor;
  const parts = [text.slice(start, at)];
  while (text.charCodeAt(at) !== QUOTE) {
    if (at >= text.length) {
      throw cursor.expected(`the closing quote of the text that begins ${placeOf(start - 1)}`, at);
    }
    const unit = text.charCodeAt(at);
    if (unit < SPACE) {
      const written = `\\u${unit.toString(16).padStart(4, "0")}`;
      throw cursor.expected(`an escape: a control character inside a text is written ${written}`, at);
    }
    const { value, length } = unescape(cursor, at);
    const end = plainEnd(text, at + length);
    parts.push(value, text.slice(at + length, end));
    at = end;
  }
  cursor.at = at + 1;
  return parts.join("");
}

function unescape(cursor: JsonCursor, at: number): { value: string; length: number } {
  const letter = cursor.text[at + 1] ?? "";
  const value = ESCAPES[letter];
  if (value !== undefined) return { value, length: 2 };
  const digits = cursor.text.slice(at + 2, at + 6);
  if (letter !== "u" || !/^[0-9a-fA-F]{4}$/.test(digits)) {
    throw cursor.expected(`one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX`, at);
  }
  return { value: String.fromCharCode(parseInt(digits, 16)), length: 6 };
}
