/** How ranges are cut into chunks and how many of them may be on their way: the same on all members of a round. */
import { LoraFleetError } from "../../../shared/errors.ts";
import { FRAME_HEADER_BYTES } from "../../../shared/protocol/tensor_frame.ts";
import { type OwnerRange, RANGE_ALIGNMENT } from "./owner_ranges.ts";

const MIB = 2 ** 20;
const DEFAULT_CHUNK_BYTES = MIB / 2;
/** Adding or checking a larger chunk would hold up the heartbeats, which share the thread. */
const MAX_CHUNK_BYTES = 2 * MIB;
/** With fewer chunks, owners wait longer for the first ones than larger chunks save. */
const MIN_CHUNKS_OF_RANGE = 16;
/** What one worker may have in flight to a peer … */
const CREDIT_BYTES = 16 * MIB;
/** … and all others together to one; below the broker's limit for a slow consumer (64 MiB). */
const SHARED_CREDIT_BYTES = 48 * MIB;
/** A window of fewer chunks would stand still between a chunk and its ack. */
const MIN_WINDOW_CHUNKS = 4;

/** The fewest elements that a codec sends together, and what they take. */
export interface Grain {
  readonly elements: number;
  readonly bytes: number;
}

export const EXACT_GRAIN: Grain = { elements: RANGE_ALIGNMENT, bytes: 4 * RANGE_ALIGNMENT };

export interface ChunkPlan {
  readonly chunkElements: number;
  /** Chunks of one sender that a receiver may not have confirmed yet; for sums to an owner and for its results each. */
  readonly windowChunks: number;
}

/**
 * The default size of chunks: 512 KiB, and up to 2 MiB for large gradients, which saves up to 7 % of the work per byte (decision
 * 0006). A power of two that leaves a range 16 chunks.
 *
 * Like all of the plan it depends only on what all members see: the gradient's size, their number, and the broker's `max_payload`,
 * which must be the same in all of a cluster.
 */
export function defaultChunkBytes(elementCount: number, workerCount: number, grain = EXACT_GRAIN): number {
  const rangeBytes = elementCount / grain.elements * grain.bytes / Math.max(1, workerCount);
  let bytes = DEFAULT_CHUNK_BYTES;
  while (2 * bytes <= Math.min(MAX_CHUNK_BYTES, rangeBytes / MIN_CHUNKS_OF_RANGE)) bytes *= 2;
  return bytes;
}

/**
 * Half of a worker's credit is for sums on their way to owners, half for finished ranges. `chunkBytes` is the wish; a large
 * fleet and a broker that takes only small messages make chunks smaller. It has to be the same on all members.
 *
 * Throws a `LoraFleetError` with code `invalid_request` for a wish outside of 256 bytes to 2 MiB.
 */
export function chunkPlan(
  workerCount: number,
  chunkBytes: number,
  maxPayloadBytes: number,
  grain = EXACT_GRAIN,
): ChunkPlan {
  const smallest = EXACT_GRAIN.bytes;
  if (!(chunkBytes >= smallest && chunkBytes <= MAX_CHUNK_BYTES)) {
    const message =
      `chunks of ${chunkBytes} bytes are impossible; ${smallest} to ${MAX_CHUNK_BYTES} are needed`;
    throw new LoraFleetError("invalid_request", message, { param: "chunkBytes" });
  }
  const creditBytes = Math.min(CREDIT_BYTES, SHARED_CREDIT_BYTES / Math.max(1, workerCount - 1)) / 2;
  const bytes = Math.min(chunkBytes, maxPayloadBytes - FRAME_HEADER_BYTES, creditBytes / MIN_WINDOW_CHUNKS);
  const grains = Math.max(1, Math.floor(bytes / grain.bytes));
  return {
    chunkElements: grain.elements * grains,
    windowChunks: Math.max(MIN_WINDOW_CHUNKS, Math.floor(creditBytes / (grain.bytes * grains))),
  };
}

export function chunkCountOf(range: OwnerRange, chunkElements: number): number {
  return Math.ceil(range.count / chunkElements);
}

export function chunkRange(range: OwnerRange, chunkElements: number, chunk: number): OwnerRange {
  const start = chunk * chunkElements;
  return { offset: range.offset + start, count: Math.min(chunkElements, range.count - start) };
}
