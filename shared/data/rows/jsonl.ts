/** JSON lines from a stream of bytes, each with the number of its line, so that an error can name it. */
import { messageOf, quote } from "../../errors.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import type { PyValue } from "../../python/values/value.ts";
import { quoteValue } from "./quote_value.ts";
import { invalidLine, type Row } from "./row.ts";

/** The longest line that is read: a longer row means a different file format. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * Reads rows as they arrive. Lines end in LF or CRLF, the last one may end without; a byte order mark and blank lines
 * are passed over. Throws a `LoraFleetError` with code `invalid_dataset` that names the line where one is not UTF-8,
 * not JSON or not an object.
 */
export async function* readJsonLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Row> {
  let number = 0;
  for await (const bytes of readLines(stream)) {
    number++;
    const row = parseLine(bytes, number);
    if (row !== null) yield row;
  }
}

/** Splits at line feeds, before decoding: no byte of a longer UTF-8 sequence is a line feed. */
async function* readLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let number = 1;
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      yield concat([...pending, chunk.subarray(start, end)]);
      number++;
      pending = [];
      pendingBytes = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      pending.push(chunk.slice(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > MAX_LINE_BYTES) {
        throw invalidLine(number, `is longer than ${MAX_LINE_BYTES} bytes; one JSON object a line is needed`);
      }
    }
  }
  if (pendingBytes > 0) yield concat(pending);
}

function parseLine(bytes: Uint8Array, number: number): Row | null {
  let text: string;
  try {
    // The decoder drops a byte order mark, which is only valid where the file begins.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: number !== 1 }).decode(withoutReturn(bytes));
  } catch {
    throw invalidLine(number, "is not valid UTF-8; save the file as UTF-8");
  }
  if (text.trim() === "") return null;
  let value: PyValue;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw invalidLine(number, `is not JSON: ${messageOf(cause)}; the line is ${quote(text)}`, cause);
  }
  if (!(value instanceof Map)) {
    throw invalidLine(number, `is ${quoteValue(value)}; an object with named fields is needed`);
  }
  return { line: number, fields: value };
}

function withoutReturn(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
