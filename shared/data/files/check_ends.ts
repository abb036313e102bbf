/**
 * What a file's beginning and end show at once, however large it is: an upload that was cut off, or that is not what its name
 * says, is refused before a job waits for it. The rows between are read when the data is prepared.
 */
import { LoraFleetError, messageOf, quote } from "../../errors.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import { quoteValue } from "../rows/quote_value.ts";
import { readCsvRows } from "./csv.ts";
import { bytesInMemory, type DataBytes } from "./data_bytes.ts";
import type { DataFormat } from "./formats.ts";
import { parquetColumns } from "./parquet.ts";
import { HEAD_BYTES, recogniseFormat, wrongFile } from "./recognise.ts";

/** The longest last line that is looked at. */
const TAIL_BYTES = 2 ** 20;
const LINE_FEED = 0x0a;

/** Throws a `LoraFleetError` with code `invalid_dataset` that names the file, and the line or byte. */
export async function checkDataFile(name: string, bytes: DataBytes): Promise<DataFormat> {
  const format = await recogniseFormat(name, bytes);
  try {
    await CHECKS[format](name, bytes);
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError) || thrown.code !== "invalid_dataset") throw thrown;
    if (thrown.param === "file") throw thrown;
    throw new LoraFleetError("invalid_dataset", `file ${quote(name)}: ${thrown.message}`, {
      param: "file",
      cause: thrown,
    });
  }
  return format;
}

const CHECKS: Readonly<Record<DataFormat, (name: string, bytes: DataBytes) => Promise<void>>> = {
  jsonl: checkJsonLines,
  json: checkJsonEnd,
  csv: (_, bytes) => checkCsvHead(bytes, ","),
  tsv: (_, bytes) => checkCsvHead(bytes, "\t"),
  parquet: async (_, bytes) => {
    await parquetColumns(bytes);
  },
  text: checkUtf8Head,
};

async function checkJsonLines(name: string, bytes: DataBytes): Promise<void> {
  const head = await headOf(bytes);
  let line = 1;
  for (let at = 0; at < head.length; line++) {
    const end = head.indexOf(LINE_FEED, at);
    // A first line that is longer than the head is judged by its end alone.
    if (end === -1 && head.length < bytes.size) break;
    const text = decode(head.subarray(at, end === -1 ? undefined : end), line === 1);
    if (text === null) throw wrongFile(name, `is not valid UTF-8 in line ${line}; save it as UTF-8`);
    if (text.trim() !== "") {
      checkRow(name, `line ${line}`, text, end === -1);
      break;
    }
    if (end === -1) throw wrongFile(name, "has no rows: it is blank");
    at = end + 1;
  }
  await checkLastLine(name, bytes);
}

async function checkLastLine(name: string, bytes: DataBytes): Promise<void> {
  const from = Math.max(0, bytes.size - TAIL_BYTES);
  const tail = await bytes.slice(from, bytes.size);
  let end = tail.length;
  while (end > 0 && tail[end - 1]! <= 0x20) end--;
  const start = tail.lastIndexOf(LINE_FEED, Math.max(0, end - 1)) + 1;
  if (end === 0 || (start === 0 && from > 0)) return;
  const text = decode(tail.subarray(start, end), from + start === 0);
  const place = `its last line, which begins at byte ${from + start},`;
  if (text === null) throw wrongFile(name, `is not valid UTF-8 at its end; the upload may have been cut off`);
  checkRow(name, place, text, true);
}

function checkRow(name: string, place: string, text: string, isLast: boolean): void {
  let value;
  try {
    value = parseJson(text);
  } catch (cause) {
    const hint = isLast ? "; the upload may have been cut off" : "";
    throw wrongFile(
      name,
      `is no JSON lines: ${place} is not JSON: ${messageOf(cause)}; the line is ${quote(text)}${hint}`,
    );
  }
  if (value instanceof Map) return;
  throw wrongFile(
    name,
    `has ${quoteValue(value)} in ${place.replace(/,$/, "")}; an object with named fields is needed`,
  );
}

async function checkJsonEnd(name: string, bytes: DataBytes): Promise<void> {
  const head = decode(await headOf(bytes), true) ?? "";
  const closing = head.trimStart().startsWith("[") ? "]" : "}";
  const from = Math.max(0, bytes.size - 1024);
  // The tail may begin within a character.
  const tail = new TextDecoder().decode(await bytes.slice(from, bytes.size)).trimEnd();
  if (tail.endsWith(closing)) return;
  throw wrongFile(
    name,
    `ends with ${
      quote(tail.slice(-20))
    } at byte ${bytes.size}, not with "${closing}"; the upload may have been cut off`,
  );
}

/** Reads the whole records of the head. */
async function checkCsvHead(bytes: DataBytes, delimiter: "," | "\t"): Promise<void> {
  const head = await headOf(bytes);
  const isWhole = head.length === bytes.size;
  const end = isWhole ? head.length : head.lastIndexOf(LINE_FEED) + 1;
  try {
    for await (const _ of readCsvRows(bytesInMemory(head.slice(0, end)), delimiter));
  } catch (thrown) {
    // A quoted cell may go on after the head.
    if (isWhole || !messageOf(thrown).includes("never closed")) throw thrown;
  }
}

async function checkUtf8Head(name: string, bytes: DataBytes): Promise<void> {
  const head = await headOf(bytes);
  if (decode(head, true) !== null) return;
  throw wrongFile(name, "is not valid UTF-8; save it as UTF-8");
}

async function headOf(bytes: DataBytes): Promise<Uint8Array<ArrayBuffer>> {
  return await bytes.slice(0, Math.min(bytes.size, HEAD_BYTES));
}

/** Null if it is not UTF-8; a character that is cut off at the end counts as none. */
function decode(bytes: Uint8Array, isStart: boolean): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: !isStart }).decode(bytes, {
      stream: bytes.length === HEAD_BYTES,
    });
  } catch {
    return null;
  }
}
