/**
 * Prepared rows as a file: u64 length of the header, the header (JSON), the SHA-256 of both, the arrays in the order of
 * `ARRAYS`, the SHA-256 of all before it. Little-endian, as every machine that Deno runs on.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { maskPreviewSchema } from "./mask_preview.ts";
import { turnOfEventLoop } from "../../../shared/std/turn.ts";
import { type Place, PlaceReader, readPlace } from "../../storage/checked_places.ts";
import type { RowIndex, RowStream, StoredRows } from "./packed_rows.ts";

const datasetReportSchema = z.strictObject({
  /** Rows of the dataset that are trained on. */
  exampleCount: z.int(),
  /** Packed rows. */
  rowCount: z.int(),
  /** Tokens that pass through the model in one epoch; `trainedTokenCount`: those with a label. */
  tokenCount: z.int(),
  trainedTokenCount: z.int(),
  truncatedRowCount: z.int(),
  /** Tokens of the longest document. */
  longestDocument: z.int(),
  /** Share of rowCount · max_seq_length that holds tokens. */
  packingEfficiency: z.number(),
  /** One sentence each. */
  warnings: z.array(z.string()).readonly(),
  /** Of the first rows. */
  masks: z.array(maskPreviewSchema).readonly(),
});
export type DatasetReport = z.output<typeof datasetReportSchema>;

export interface PreparedRows {
  readonly report: DatasetReport;
  readonly rows: StoredRows;
}

/** Prepared rows on their way into the file. */
export interface PreparedStream {
  readonly report: DatasetReport;
  readonly rows: RowStream;
}

/** Arrays of 32 bits first, so that each begins at a multiple of its width. */
const ARRAYS = [
  ...["tokens", "documentStarts", "rowStarts", "lines", "lineStarts"] as const,
  ...["documentWeights", "weightSpans", "weightSpanStarts"] as const,
  "completionMask",
] as const;
type ArrayName = typeof ARRAYS[number];
/** Read when a step needs them; the others are some bytes a document. */
type StoredName = "tokens" | "completionMask";
const isStored = (name: ArrayName): name is StoredName => name === "tokens" || name === "completionMask";
const OPTIONAL: readonly ArrayName[] = ["documentWeights", "weightSpans", "weightSpanStarts"];
const LENGTH_BYTES = 8;
const DIGEST_BYTES = 32;
/** Read and hashed at once: a millisecond of a slow core. */
const PIECE_BYTES = 2 ** 18;
/** A report has at most a dozen sentences and three previewed rows. */
const MAX_HEADER_BYTES = 2 ** 20;

const headerSchema = z.strictObject({
  /** What the rows were made from (preparation_key.ts). */
  key: z.string(),
  report: datasetReportSchema,
  lengths: z.partialRecord(z.enum(ARRAYS), z.int().min(0)).refine(
    (lengths) => ARRAYS.every((name) => OPTIONAL.includes(name) || lengths[name] !== undefined),
  ),
});

export function* encodePrepared(
  key: string,
  { report, rows }: PreparedStream,
): Generator<Uint8Array<ArrayBuffer>> {
  const hash = createHash("sha256");
  const names = ARRAYS.filter((name) => isStored(name) || rows[name] !== undefined);
  const lengths = Object.fromEntries(names.map((name) => [name, lengthOf(rows, name)]));
  const header = new TextEncoder().encode(JSON.stringify({ key, report, lengths }));
  const start = new Uint8Array(LENGTH_BYTES);
  new DataView(start.buffer).setBigUint64(0, BigInt(header.length), true);
  const digest = sha256Of([start, header]);
  for (const part of [start, header, digest]) {
    hash.update(part);
    yield part;
  }
  for (const name of names) {
    for (const block of blocksOf(rows, name)) {
      const part = bytesOf(block);
      hash.update(part);
      yield part;
    }
  }
  yield new Uint8Array(hash.digest());
}

function lengthOf(rows: RowStream, name: ArrayName): number {
  return isStored(name) ? rows.tokenCount : rows[name]?.length ?? 0;
}

function blocksOf(rows: RowStream, name: ArrayName): Iterable<Uint32Array | Uint8Array | Float32Array> {
  if (isStored(name)) return rows[name]();
  const array = rows[name];
  return array === undefined ? [] : [array];
}

function sha256Of(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Uint32Array | Uint8Array | Float32Array) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

/** Reads at most the buffer's length; 0 at the end of the file. */
type Read = (buffer: Uint8Array) => Promise<number>;

/** The report alone, without a look at the rows; null if the file is invalid. */
export async function readReport(key: string, read: Read): Promise<DatasetReport | null> {
  return (await readHeader(key, read))?.report ?? null;
}

/** A prepared file whose bytes have been checked. */
export interface PreparedIndex {
  readonly report: DatasetReport;
  readonly index: RowIndex;
  readonly places: Readonly<Record<StoredName, Place>>;
}

/**
 * Reads the whole file, and keeps what says where rows begin. Null if the file is invalid, incomplete or damaged. Hashing yields
 * to the event loop after each piece.
 */
export async function readPrepared(key: string, size: number, read: Read): Promise<PreparedIndex | null> {
  const header = await readHeader(key, read);
  if (header === null) return null;
  const { report, lengths, bytes } = header;
  const names = ARRAYS.filter((name) => lengths[name] !== undefined);
  const dataBytes = names.reduce((sum, name) => sum + lengths[name]! * widthOf(name), 0);
  if (size !== bytes.length + dataBytes + DIGEST_BYTES) return null;
  const hash = createHash("sha256").update(bytes);
  const arrays: Partial<Record<ArrayName, Uint32Array | Float32Array | Uint8Array>> = {};
  const places: Partial<Record<ArrayName, Place>> = {};
  let at = bytes.length;
  for (const name of names) {
    const byteLength = lengths[name]! * widthOf(name);
    const place = isStored(name) ? new PlaceReader(at, byteLength) : null;
    const kept = new Uint8Array(place === null ? byteLength : Math.min(byteLength, PIECE_BYTES));
    for (let done = 0; done < byteLength;) {
      const from = place === null ? done : 0;
      const piece = kept.subarray(from, from + Math.min(PIECE_BYTES, byteLength - done));
      if (!await readAll(read, piece)) return null;
      hash.update(piece);
      place?.add(piece);
      done += piece.length;
      await turnOfEventLoop();
    }
    if (place === null) arrays[name] = new KINDS[name](kept.buffer, 0, lengths[name]!);
    else places[name] = place.place();
    at += byteLength;
  }
  const digest = new Uint8Array(DIGEST_BYTES);
  if (!await readAll(read, digest) || !isSame(digest, hash.digest())) return null;
  return { report, index: arrays as unknown as RowIndex, places: places as Record<StoredName, Place> };
}

/**
 * @param readAt fills a buffer from a position of the file on
 * @param onLost called with the error that a read throws
 */
export function rowsOfFile(
  { index, places: { tokens, completionMask } }: PreparedIndex,
  readAt: (position: number, buffer: Uint8Array) => void,
  onLost: (error: unknown) => void,
): StoredRows {
  return {
    ...index,
    slice(from, to) {
      try {
        return {
          tokens: new Uint32Array(readPlace(tokens, 4 * from, 4 * to, readAt).buffer),
          completionMask: readPlace(completionMask, from, to, readAt),
        };
      } catch (thrown) {
        onLost(thrown);
        throw thrown;
      }
    },
  };
}

const KINDS = {
  ...{ tokens: Uint32Array, documentStarts: Uint32Array, rowStarts: Uint32Array, lines: Uint32Array },
  ...{ lineStarts: Uint32Array, documentWeights: Float32Array, completionMask: Uint8Array },
  ...{ weightSpans: Uint32Array, weightSpanStarts: Uint32Array },
} as const satisfies Record<ArrayName, unknown>;
const widthOf = (name: ArrayName) => KINDS[name].BYTES_PER_ELEMENT;

async function readHeader(key: string, read: Read) {
  const start = new Uint8Array(LENGTH_BYTES);
  if (!await readAll(read, start)) return null;
  const length = new DataView(start.buffer).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) return null;
  const json = new Uint8Array(Number(length));
  const digest = new Uint8Array(DIGEST_BYTES);
  if (!await readAll(read, json) || !await readAll(read, digest)) return null;
  if (!isSame(digest, sha256Of([start, json]))) return null;
  const header = headerSchema.safeParse(parseJson(new TextDecoder().decode(json)));
  if (!header.success || header.data.key !== key) return null;
  return { ...header.data, bytes: new Uint8Array([...start, ...json, ...digest]) };
}

async function readAll(read: Read, buffer: Uint8Array): Promise<boolean> {
  for (let at = 0; at < buffer.length;) {
    const count = await read(buffer.subarray(at));
    if (count === 0) return false;
    at += count;
  }
  return true;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
