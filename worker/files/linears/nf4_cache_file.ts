/**
 * One weight in NF4 on disk: a header, then the arrays as they go to the GPU. Nothing is parsed: a file is good if its first bytes
 * are the header that this weight's file has to have, its length follows from the shape, and its CRC-32 is right. Anything else
 * (damaged, cut short, of an earlier version, of other weights) is as good as no file.
 */
import { crc32 } from "node:zlib";
import { messageOf } from "../../../shared/errors.ts";
import { NF4_BLOCK_SIZE, type Nf4Weights } from "../../../shared/checkpoint/nf4/nf4.ts";
import { NESTED_BLOCK_SIZE } from "../../../shared/checkpoint/nf4/nf4_absmax.ts";
import type { QuantizeOptions } from "../../../shared/checkpoint/nf4/nf4_quantise.ts";
import { readInto } from "../../../shared/checkpoint/read_into.ts";

/** Raised whenever a file's layout or the bits of quantisation change. */
export const NF4_CACHE_VERSION = 1;

/** A weight's file, and what decides its bits. */
export interface Nf4CacheEntry {
  readonly path: string;
  /** Names the contents of the base model's files. */
  readonly source: string;
  /** The tensor's name in them. */
  readonly tensor: string;
}

/** CRC-32 (u32) and the nested offset (f32). */
const FIELDS_BYTES = 8;
/** Header and fields fill whole units of this size, so that the arrays behind them are aligned. */
const ALIGNMENT = 64;

function headerOf({ source, tensor }: Nf4CacheEntry, options: QuantizeOptions): Uint8Array<ArrayBuffer> {
  const { rows, columns, doubleQuantization } = options;
  const text = [
    `lorafleet NF4 ${NF4_CACHE_VERSION}`,
    `source ${source}`,
    `tensor ${JSON.stringify(tensor)} [${rows}, ${columns}]`,
    `absmax ${doubleQuantization ? "8 bits" : "f32"}`,
    "",
  ].join("\n");
  const bytes = new TextEncoder().encode(text);
  const header = new Uint8Array(
    Math.ceil((bytes.length + FIELDS_BYTES) / ALIGNMENT) * ALIGNMENT - FIELDS_BYTES,
  );
  header.set(bytes);
  return header;
}

function sizesOf({ rows, columns, doubleQuantization }: QuantizeOptions) {
  const count = rows * columns;
  const blocks = Math.ceil(count / NF4_BLOCK_SIZE);
  return {
    codes: Math.ceil(count / 2),
    absmax: doubleQuantization ? blocks : 4 * blocks,
    nested: doubleQuantization ? 4 * Math.ceil(blocks / NESTED_BLOCK_SIZE) : 0,
  };
}

/** The arrays' places behind header and fields; those of f32 begin at whole words. */
function placesOf(options: QuantizeOptions) {
  const { codes, absmax, nested } = sizesOf(options);
  const aligned = (bytes: number) => Math.ceil(bytes / 4) * 4;
  const absmaxAt = aligned(codes);
  const nestedAt = absmaxAt + aligned(absmax);
  return {
    codes: [0, codes],
    absmax: [absmaxAt, absmax],
    nested: [nestedAt, nested],
    end: nestedAt + nested,
  } as const;
}

/** Bytes of a weight's file, its header aside. */
export function cachedBytes(options: QuantizeOptions): number {
  return placesOf(options).end;
}

export type CachedWeight =
  | { readonly weights: Nf4Weights }
  /** Null: there is no file. */
  | { readonly problem: string | null };

/** Never throws: a file that cannot be used has a problem. */
export function readCached(entry: Nf4CacheEntry, options: QuantizeOptions): CachedWeight {
  const { path } = entry;
  const header = headerOf(entry, options);
  const places = placesOf(options);
  const start = header.length + FIELDS_BYTES;
  try {
    using file = Deno.openSync(path);
    const { size } = file.statSync();
    const expected = start + places.end;
    if (size !== expected) return { problem: `${path} has ${size} bytes, ${expected} are needed` };
    const bytes = new Uint8Array(size);
    readInto(path, file, 0, bytes);
    if (header.some((byte, at) => byte !== bytes[at])) {
      return { problem: `${path} is of another version or of other weights` };
    }
    const fields = new DataView(bytes.buffer, header.length, FIELDS_BYTES);
    const [stored, found] = [fields.getUint32(0, true), crc32(bytes.subarray(header.length + 4))];
    if (stored !== found) {
      return { problem: `${path} is damaged: its checksum is ${found}, not ${stored}` };
    }
    return { weights: weightsIn(bytes, start, fields.getFloat32(4, true), options) };
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return { problem: null };
    return { problem: `${path} cannot be read: ${messageOf(thrown)}` };
  }
}

function weightsIn(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  nestedOffset: number,
  options: QuantizeOptions,
): Nf4Weights {
  const { rows, columns, doubleQuantization } = options;
  const { codes, absmax, nested } = placesOf(options);
  const raw = ([at, size]: readonly [number, number]) => new Uint8Array(bytes.buffer, start + at, size);
  const floats = ([at, size]: readonly [number, number]) =>
    new Float32Array(bytes.buffer, start + at, size / 4);
  const shape = { rows, columns, codes: raw(codes) };
  return doubleQuantization
    ? { ...shape, absmax: null, absmaxCodes: raw(absmax), nestedAbsmax: floats(nested), nestedOffset }
    : { ...shape, absmax: floats(absmax), absmaxCodes: null, nestedAbsmax: null, nestedOffset };
}

let lastNumber = 0;

/**
 * Writes a weight's file whole or not at all. It is not synced: a file that a power cut damages has a wrong checksum.
 * @returns what went wrong (the disk is full, the folder is gone), or null
 */
export function writeCached(
  entry: Nf4CacheEntry,
  options: QuantizeOptions,
  weights: Nf4Weights,
): string | null {
  const { path } = entry;
  const parts = [
    bytesOf(Float32Array.of(weights.nestedOffset)),
    ...[weights.codes, weights.absmaxCodes ?? weights.absmax!, weights.nestedAbsmax].flatMap(padded),
  ];
  const checksum = parts.reduce((crc, part) => crc32(part, crc), 0);
  // Threads of one process have numbers of their own, and share the process's.
  const partial = `${path}.${Deno.pid}-${crypto.randomUUID().slice(0, 8)}-${++lastNumber}.partial`;
  try {
    writeWhole(partial, [headerOf(entry, options), bytesOf(Uint32Array.of(checksum)), ...parts]);
    Deno.renameSync(partial, path);
    return null;
  } catch (thrown) {
    try {
      Deno.removeSync(partial);
    } catch {
      // It was not created, or its folder is gone.
    }
    return messageOf(thrown);
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

/** An array's bytes, and as many zeros as fill its last word. */
function padded(array: Uint8Array | Float32Array | null): Uint8Array[] {
  if (array === null) return [];
  const missing = -array.byteLength & 3;
  return missing === 0 ? [bytesOf(array)] : [bytesOf(array), new Uint8Array(missing)];
}

function writeWhole(path: string, parts: readonly Uint8Array[]): void {
  using file = Deno.openSync(path, { write: true, createNew: true });
  for (const part of parts) {
    for (let done = 0; done < part.length;) done += file.writeSync(part.subarray(done));
  }
}
