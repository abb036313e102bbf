/**
 * The digest of a training state: a step commits only if it is equal on all replicas, and a state that is stored or sent counts
 * only if it has it. It is SHA-256 in two levels, so that several threads compute it, each while its piece is in the cache:
 *
 *     chunk i = SHA-256 of elements 16384·i … of the adapter, of the first moment and of the second moment, as they lie in memory
 *     digest  = SHA-256 of "lorafleet state <elements>\n" and the chunks' 32 bytes, in order
 *
 * The last chunk has what is left. Numbers are f32, little-endian.
 */
import { createHash } from "node:crypto";

/**
 * What replicas compare after an update. `sha256`: the digest. `fingerprint`: a cheaper value that tells states apart which
 * differ by accident, but under which nobody may load a state from another (worker/optimizer/wasm/fingerprint.ts).
 */
export type DigestKind = "sha256" | "fingerprint";

/** What a fingerprint begins with, and a SHA-256 never does: so every reader of a digest can tell which one it is. */
export const FINGERPRINT_MARK = "0".repeat(16);

/** A hash in hexadecimal as a fingerprint. */
export function asFingerprint(hash: string): string {
  return FINGERPRINT_MARK + hash.slice(FINGERPRINT_MARK.length);
}

export function isFingerprint(digest: string): boolean {
  return digest.startsWith(FINGERPRINT_MARK);
}

/** Elements of each array in a chunk: 192 KiB in all, which fits a core's cache. */
export const CHUNK_ELEMENTS = 2 ** 14;
const CHUNK_DIGEST_BYTES = 32;

/** Adapter, first moment, second moment: of equal lengths. */
type Arrays = readonly [ArrayBufferView, ArrayBufferView, ArrayBufferView];

export const chunkCountOf = (elementCount: number): number => Math.ceil(elementCount / CHUNK_ELEMENTS);

/** Room for the digests of all chunks, shared between threads. */
export const allocateChunkDigests = (elementCount: number): Uint8Array =>
  new Uint8Array(new SharedArrayBuffer(CHUNK_DIGEST_BYTES * chunkCountOf(elementCount)));

/** Writes the digest of a chunk to its place. @param arrays of the whole state */
export function digestChunk(arrays: Arrays, elementCount: number, chunk: number, digests: Uint8Array): void {
  const from = CHUNK_ELEMENTS * chunk;
  const count = Math.min(CHUNK_ELEMENTS, elementCount - from);
  const hash = createHash("sha256");
  for (const { buffer, byteOffset } of arrays) {
    hash.update(new Uint8Array(buffer, byteOffset + 4 * from, 4 * count));
  }
  digests.set(hash.digest(), CHUNK_DIGEST_BYTES * chunk);
}

/** In hexadecimal. */
export function digestOfChunks(elementCount: number, digests: Uint8Array): string {
  return createHash("sha256").update(`lorafleet state ${elementCount}\n`).update(digests).digest("hex");
}

/** In hexadecimal, by one thread. */
export function digestOfArrays(arrays: Arrays): string {
  const elementCount = arrays[0].byteLength / 4;
  const digests = allocateChunkDigests(elementCount);
  for (let chunk = 0; chunk < chunkCountOf(elementCount); chunk++) {
    digestChunk(arrays, elementCount, chunk, digests);
  }
  return digestOfChunks(elementCount, digests);
}

const READ_ELEMENTS = 16 * CHUNK_ELEMENTS;

/**
 * In hexadecimal, of a state that is read piece by piece.
 * @param readWords 32-bit words of the three arrays, end to end
 */
export async function digestOfWords(
  elementCount: number,
  readWords: (offset: number, count: number) => Promise<Int32Array>,
): Promise<string> {
  const digests = allocateChunkDigests(elementCount);
  for (let from = 0; from < elementCount; from += READ_ELEMENTS) {
    const count = Math.min(READ_ELEMENTS, elementCount - from);
    const part = (index: number) => readWords(index * elementCount + from, count);
    const arrays = [await part(0), await part(1), await part(2)] as const;
    const place = digests.subarray(CHUNK_DIGEST_BYTES * from / CHUNK_ELEMENTS);
    for (let chunk = 0; chunk < chunkCountOf(count); chunk++) digestChunk(arrays, count, chunk, place);
  }
  return digestOfChunks(elementCount, digests);
}

/**
 * The digest before protocol version 7, in hexadecimal: SHA-256 of the arrays one after the other. Stored states of earlier
 * releases are recorded under it.
 */
export function formerDigestOf(arrays: Arrays): string {
  const hash = createHash("sha256");
  for (const { buffer, byteOffset, byteLength } of arrays) {
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex");
}
