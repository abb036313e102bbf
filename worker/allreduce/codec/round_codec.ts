/** The contents of one round's payloads, apart from their transport. A place is a chunk's, in elements of the flat gradient. */
import type { FrameCodec } from "../../../shared/protocol/tensor_frame.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";

export interface RoundCodec {
  /** The codec's name in frames. */
  readonly frameCodec: FrameCodec;
  /** 32-bit words of the payload for so many elements. */
  payloadWords(elementCount: number): number;
  /** Our sums for a peer's chunk; the same words at each call before `takeResult`. */
  encodeSums(place: OwnerRange): Int32Array;
  /** Adds a peer's payload to a chunk of ours; the first call also adds our own sums. */
  add(place: OwnerRange, payload: Int32Array, isFirst: boolean): void;
  /** Computes the result of a chunk of ours, once all payloads are added. */
  finish(place: OwnerRange): void;
  /** The result of a chunk of ours; valid even after the caller has given away the result's array. */
  encodeResult(place: OwnerRange): Int32Array;
  /** Stores the result of a peer's chunk. */
  takeResult(place: OwnerRange, payload: Int32Array): void;
  /** Whether the result is the unrounded total. */
  readonly isExact: boolean;
  /** The integers that the owner adds for a payload of sums. Valid until the next call. */
  integersOf(place: OwnerRange, payload: Int32Array): Int32Array;
  /** Our own part of a chunk of ours, before `add`. Valid until the next call. */
  ownIntegers(place: OwnerRange): Int32Array;
  /** The total of a chunk of ours mod 2^32, between the last `add` and `finish`. Valid until the next call. */
  totalOf(place: OwnerRange): Int32Array;
  /** A chunk of the result, after `finish` or `takeResult`. */
  resultOf(place: OwnerRange): Int32Array;
}
