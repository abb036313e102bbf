/** Which format a file has: by its name and by its first bytes, which win where both could be right. */
import { LoraFleetError, quote } from "../../errors.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import type { PyValue } from "../../python/values/value.ts";
import type { DataBytes } from "./data_bytes.ts";
import { type DataFormat, formatOfName, FORMATS, KNOWN_ENDINGS } from "./formats.ts";

/** Looked at to recognise a format. */
export const HEAD_BYTES = 2 ** 16;

/** First bytes of files that are often taken for datasets, with what to do. */
const FOREIGN: readonly (readonly [number[], string])[] = [
  [[0x1f, 0x8b], "compressed with gzip; decompress it (gunzip)"],
  [[0x50, 0x4b, 0x03, 0x04], "a ZIP archive or an Excel workbook; unpack it, or save the table as CSV"],
  [[0x28, 0xb5, 0x2f, 0xfd], "compressed with zstd; decompress it (unzstd)"],
  [[0x42, 0x5a, 0x68], "compressed with bzip2; decompress it (bunzip2)"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "compressed with xz; decompress it (unxz)"],
  [[0x41, 0x52, 0x52, 0x4f, 0x57, 0x31], "an Arrow file; write it as Parquet (dataset.to_parquet)"],
  [[0x53, 0x51, 0x4c, 0x69, 0x74, 0x65], "an SQLite database; export the table as CSV"],
  [[0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], "a NumPy array; write its rows as JSON lines"],
  [[0x25, 0x50, 0x44, 0x46], "a PDF; save its text"],
  [[0xff, 0xfe], "UTF-16; save it as UTF-8"],
  [[0xfe, 0xff], "UTF-16; save it as UTF-8"],
];
const PARQUET = [0x50, 0x41, 0x52, 0x31];

/** Lists in a row of JSON lines: an object with one of them is a row, not a file of rows. */
const LISTS_OF_ROWS = ["messages", "conversations", "prompt", "completion", "tools"];

/**
 * @param name the file's name as its owner knows it
 * @param hasField whether the user has named the field that holds the rows
 *
 * Throws a `LoraFleetError` with code `invalid_dataset` for a file that no format fits.
 */
export async function recogniseFormat(name: string, bytes: DataBytes, hasField = false): Promise<DataFormat> {
  if (bytes.size === 0) throw wrongFile(name, "is empty");
  const head = await bytes.slice(0, Math.min(bytes.size, HEAD_BYTES));
  const startsWith = (magic: readonly number[]) => magic.every((byte, index) => head[index] === byte);
  const named = formatOfName(name);
  if (startsWith(PARQUET)) return "parquet";
  if (named === "parquet") {
    throw wrongFile(name, `is no Parquet file: it begins with ${quoteBytes(head)}, not with "PAR1"`);
  }
  const foreign = FOREIGN.find(([magic]) => startsWith(magic));
  if (foreign !== undefined) throw wrongFile(name, `is ${foreign[1]}`);
  const nul = head.indexOf(0);
  if (nul !== -1) {
    throw wrongFile(name, `is no text: byte ${nul} is 0; the known endings are ${KNOWN_ENDINGS}`);
  }
  if (named === "csv" || named === "tsv" || named === "text") return named;
  const text = new TextDecoder().decode(head);
  const kind = kindOfJson(text, named, hasField, head.length === bytes.size);
  if (kind !== null) return kind;
  // Nothing but blank lines: a file without rows, whatever it is called.
  if (named !== null || text.trim() === "") return named ?? "jsonl";
  throw wrongFile(
    name,
    `has no ending that names its format (${KNOWN_ENDINGS}), and begins with ${
      quoteBytes(head)
    }, which is no JSON`,
  );
}

/** "jsonl" or "json" for a text that begins as JSON does, by what the first line holds; null for any other. */
function kindOfJson(
  text: string,
  named: DataFormat | null,
  hasField: boolean,
  isWhole: boolean,
): "jsonl" | "json" | null {
  const trimmed = text.trimStart();
  if (trimmed.startsWith("[")) return "json";
  if (!trimmed.startsWith("{")) return null;
  if (hasField) return "json";
  const end = trimmed.indexOf("\n");
  if (named === "jsonl") return "jsonl";
  const first = parseOrNull(end === -1 ? trimmed : trimmed.slice(0, end));
  // A first line that ends within an object: either written over many lines, or longer than what was read.
  if (first === null) return end === -1 && named !== "json" ? "jsonl" : "json";
  const isAlone = isWhole && (end === -1 || trimmed.slice(end).trim() === "");
  return isAlone && holdsRows(first) ? "json" : "jsonl";
}

function holdsRows(value: PyValue): boolean {
  return value instanceof Map &&
    value.entries().some(([name, field]) =>
      !LISTS_OF_ROWS.includes(name) && Array.isArray(field) && field[0] instanceof Map
    );
}

function parseOrNull(text: string): PyValue {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}

/** The first bytes as text. */
function quoteBytes(head: Uint8Array): string {
  return quote(new TextDecoder().decode(head.subarray(0, 20)));
}

export function wrongFile(name: string, what: string): LoraFleetError {
  return new LoraFleetError("invalid_dataset", `file ${quote(name)} ${what}`, { param: "file" });
}

/** "CSV", "Parquet", … */
export function formatName(format: DataFormat): string {
  return FORMATS[format].name;
}
