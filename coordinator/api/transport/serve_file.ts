/** Sends a file with its length, its hash as ETag, and one byte range on request (RFC 9110, 14). */
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import type { RecordedFile } from "../../storage/verified_file.ts";
import { HttpError } from "./errors.ts";

const CHUNK_BYTES = 256 * 1024;

interface ServedFile extends RecordedFile {
  readonly path: string;
  readonly filename: string;
}

/**
 * Parses a Range header; `end` is exclusive. Null if there is none, or one that may be ignored (several ranges, a different
 * unit). Throws 416 if no byte of the file is in it.
 */
export function parseRange(header: string | null, size: number): { start: number; end: number } | null {
  const match = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/.exec(header ?? "");
  if (match === null) return null;
  const [, first, last, suffix] = match;
  const range = suffix !== undefined
    ? { start: Math.max(0, size - Number(suffix)), end: size }
    : { start: Number(first), end: last === "" ? size : Math.min(size, Number(last) + 1) };
  if (last !== undefined && last !== "" && Number(last) < Number(first)) return null;
  if (range.start < range.end) return range;
  const message = `the range ${quote(header)} lies outside of ${size} bytes`;
  throw new HttpError(416, "range_not_satisfiable", message, null, { "content-range": `bytes */${size}` });
}

/**
 * Answers GET and HEAD. Throws `not_found` if the file is gone, `storage` if it cannot be read, `conflict` if its size is no longer the recorded one.
 */
export async function serveFile(request: Request, file: ServedFile): Promise<Response> {
  const headers = new Headers({
    "content-type": file.filename.endsWith(".json") ? "application/json" : "application/octet-stream",
    "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(file.filename)}`,
    "accept-ranges": "bytes",
    "etag": `"${file.sha256}"`,
  });
  if (request.headers.get("if-none-match") === `"${file.sha256}"`) {
    return new Response(null, { status: 304, headers });
  }
  const conditional = request.headers.get("if-range");
  const mayBeRange = conditional === null || conditional === `"${file.sha256}"`;
  const range = mayBeRange ? parseRange(request.headers.get("range"), file.size) : null;
  const { start, end } = range ?? { start: 0, end: file.size };
  headers.set("content-length", String(end - start));
  if (range !== null) headers.set("content-range", `bytes ${start}-${end - 1}/${file.size}`);
  const status = range === null ? 200 : 206;
  if (request.method === "HEAD") return new Response(null, { status, headers });
  return new Response(await openPart(file, start, end), { status, headers });
}

async function openPart(file: ServedFile, start: number, end: number): Promise<ReadableStream<Uint8Array>> {
  let opened: Deno.FsFile;
  try {
    opened = await Deno.open(file.path);
  } catch (thrown) {
    // Deleted since its checksum was verified; once it is open it stays readable.
    if (thrown instanceof Deno.errors.NotFound) {
      const message = `${quote(file.filename)} has just been deleted`;
      throw new LoraFleetError("not_found", message, { cause: thrown });
    }
    const message = `cannot read ${quote(file.filename)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { cause: thrown });
  }
  try {
    const { size } = await opened.stat();
    if (size !== file.size) {
      const message = `${quote(file.filename)} has changed: ${size} bytes, not ${file.size}`;
      throw new LoraFleetError("conflict", message);
    }
    await opened.seek(start, Deno.SeekMode.Start);
  } catch (thrown) {
    opened.close();
    throw thrown;
  }
  // The runtime's own stream, several times faster, reads up to the end.
  if (end === file.size) return opened.readable;
  let left = end - start;
  return new ReadableStream({
    async pull(controller) {
      const buffer = new Uint8Array(Math.min(left, CHUNK_BYTES));
      const count = await opened.read(buffer) ?? 0;
      left -= count;
      if (count > 0) controller.enqueue(buffer.subarray(0, count));
      if (left > 0 && count > 0) return;
      opened.close();
      if (left === 0) controller.close();
      else controller.error(new LoraFleetError("storage", `${quote(file.filename)} ends early`));
    },
    cancel() {
      opened.close();
    },
  });
}
