/**
 * What a round's payloads hold, apart from how they travel: how our part of a chunk is written, how an owner adds those of the
 * others, and what the result is. One for each round. A place is a chunk's, in elements of the flat gradient.
 */
import type { FrameCodec } from "../../../shared/protocol/tensor_frame.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";

export interface RoundCodec {
  /** As the frames say it. */
  readonly frameCodec: FrameCodec;
  /** 32-bit words of the payload for so many elements. */
  payloadWords(elementCount: number): number;
  /** Our sums for a chunk that somebody else owns; the same words whenever it is called before `takeResult`. */
  encodeSums(place: OwnerRange): Int32Array;
  /** Adds somebody's payload to a chunk of ours; the first time, our own sums are in it, too. */
  add(place: OwnerRange, payload: Int32Array, isFirst: boolean): void;
  /** All are added: the result of a chunk of ours. */
  finish(place: OwnerRange): void;
  /** The result of a chunk of ours; also when the caller has given the array of the result away. */
  encodeResult(place: OwnerRange): Int32Array;
  /** The result of a chunk of another owner. */
  takeResult(place: OwnerRange, payload: Int32Array): void;
  /** Whether the result is the total as it is, nothing rounded. */
  readonly isExact: boolean;
  /** The integers that a payload of sums stands for: what the owner adds. Good until the next call. */
  integersOf(place: OwnerRange, payload: Int32Array): Int32Array;
  /** Our own part of a chunk of ours, before `add`. Good until the next call. */
  ownIntegers(place: OwnerRange): Int32Array;
  /** The total of a chunk of ours mod 2^32, between the last `add` and `finish`. Good until the next call. */
  totalOf(place: OwnerRange): Int32Array;
  /** A chunk of the result, after `finish` or `takeResult`. */
  resultOf(place: OwnerRange): Int32Array;
}
