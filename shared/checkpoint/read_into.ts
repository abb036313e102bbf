/** Reads a part of an open file. */
import { invalidFile } from "../errors.ts";

/** Linux and macOS read less than 2 GiB per call; a small piece also keeps Deno's internal copy small. */
const PIECE_BYTES = 64 * 2 ** 20;

/**
 * Fills `bytes` from byte `position` of the file on.
 * @throws LoraFleetError `invalid_model` if the file ends before
 */
export function readInto(
  path: string,
  file: Deno.FsFile,
  position: number,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  file.seekSync(position, Deno.SeekMode.Start);
  let done = 0;
  while (done < bytes.length) {
    const read = file.readSync(bytes.subarray(done, Math.min(bytes.length, done + PIECE_BYTES)));
    if (read === null) throw invalidFile(path, `it ends after byte ${position + done}: it is truncated`);
    done += read;
  }
}
