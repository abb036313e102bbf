/** Text files decoded piece by piece, with every piece ending at a line's end. */
import { LoraFleetError } from "../../errors.ts";
import { type DataBytes, streamOf } from "./data_bytes.ts";

/** Longer lines, quoted cells or JSON values mean a different file. */
export const MAX_ITEM_CHARS = 64 * 1024 * 1024;

/**
 * The file as text, without a byte order mark, in pieces of any length. Throws a `LoraFleetError` with code
 * `invalid_dataset` that names the line of the first byte that is not UTF-8.
 */
export async function* textOf(bytes: DataBytes): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let lines = 1;
  for await (const chunk of streamOf(bytes)) {
    let text: string;
    try {
      text = decoder.decode(chunk, { stream: true });
    } catch (cause) {
      throw notUtf8(lines + lineFeedsBeforeFault(chunk), cause);
    }
    lines += countLineFeeds(text);
    if (text !== "") yield text;
  }
  try {
    const rest = decoder.decode();
    if (rest !== "") yield rest;
  } catch (cause) {
    throw notUtf8(lines, cause);
  }
}

export function countLineFeeds(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/** Line feeds before the first byte that no UTF-8 text has there; a character cut off by the chunk's begin counts as none. */
function lineFeedsBeforeFault(chunk: Uint8Array): number {
  let start = 0;
  while (start < chunk.length && (chunk[start]! & 0xc0) === 0x80) start++;
  const text = new TextDecoder().decode(chunk.subarray(start));
  const fault = text.indexOf("\ufffd");
  return countLineFeeds(fault === -1 ? "" : text.slice(0, fault));
}

function notUtf8(line: number, cause: unknown): LoraFleetError {
  return new LoraFleetError(
    "invalid_dataset",
    `dataset: line ${line} is not valid UTF-8; save the file as UTF-8`,
    { param: `line ${line}`, cause },
  );
}
