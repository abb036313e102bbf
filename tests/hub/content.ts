/** Bytes of a file on the hub, in memory or on disk, with the hashes that the hub announces. */
import { createHash } from "node:crypto";

/** Text, bytes, or a file on disk that is too large for the memory. */
export type ContentSource = string | Uint8Array | { readonly path: string };

export interface HubContent {
  readonly size: number;
  /** Of an LFS file: its ETag, and its name in the storage. */
  readonly sha256: string;
  /** Git's id of a blob: the ETag of a file outside LFS. */
  readonly gitOid: string;
  /** Bytes from `start` to before `end`. */
  chunks(start: number, end: number): AsyncGenerator<Uint8Array<ArrayBuffer>>;
}

const CHUNK_BYTES = 64 * 1024;

export async function contentOf(source: ContentSource): Promise<HubContent> {
  const bytes = typeof source === "string" ? new TextEncoder().encode(source) : source;
  const size = bytes instanceof Uint8Array ? bytes.length : (await Deno.stat(bytes.path)).size;
  const chunks = bytes instanceof Uint8Array
    ? (start: number, end: number) => chunksOfBytes(bytes, start, end)
    : (start: number, end: number) => chunksOfFile(bytes.path, start, end);
  const sha256 = createHash("sha256");
  const sha1 = createHash("sha1").update(`blob ${size}\0`);
  for await (const chunk of chunks(0, size)) {
    sha256.update(chunk);
    sha1.update(chunk);
  }
  return { size, sha256: sha256.digest("hex"), gitOid: sha1.digest("hex"), chunks };
}

export async function bytesOf(content: HubContent): Promise<Uint8Array> {
  return await new Response(ReadableStream.from(content.chunks(0, content.size))).bytes();
}

async function* chunksOfBytes(bytes: Uint8Array, start: number, end: number) {
  for (let at = start; at < end; at += CHUNK_BYTES) yield bytes.slice(at, Math.min(at + CHUNK_BYTES, end));
}

async function* chunksOfFile(path: string, start: number, end: number) {
  using file = await Deno.open(path);
  await file.seek(start, Deno.SeekMode.Start);
  for (let at = start; at < end;) {
    const buffer = new Uint8Array(Math.min(CHUNK_BYTES, end - at));
    const count = await file.read(buffer);
    if (count === null) return;
    yield buffer.slice(0, count);
    at += count;
  }
}
