/**
 * What one member sees of a round, as checksums (shared/protocol/linear_check.ts): taken chunk by chunk where the chunk is touched
 * anyway, so that the event loop never waits for a whole gradient.
 */
import {
  addChecksum,
  addWords,
  CHECK_WORDS,
  type CheckWeights,
  MAX_LOCALISED_MEMBERS,
  sumOfWords,
} from "../../../shared/protocol/linear_check.ts";
import { encodeChecksums } from "../../../shared/protocol/messages_codec.ts";
import type { RoundCheck as RoundCheckMessage } from "../../../shared/protocol/messages_worker.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";
import type { RoundCodec } from "../codec/round_codec.ts";

/** Two words for each member, in their order; `total` two in all. */
export interface RoundChecksums {
  /** Of this worker's sums, by the owner of the range. */
  readonly given: Int32Array;
  /** Of what came for its own range, by the sender. */
  readonly received: Int32Array;
  /** Of its own range's total. */
  readonly total: Int32Array;
  /** Of the result, by the owner of the range. */
  readonly result: Int32Array;
}

export interface RoundCheck {
  readonly sums: RoundChecksums;
  /** A chunk of ours goes to its owner for the first time, in this payload. */
  gave(owner: number, place: OwnerRange, payload: Int32Array): void;
  /** A chunk has come for our range and is to be added; the first one with our own part, which lies in no payload. */
  takes(sender: number, place: OwnerRange, payload: Int32Array, isFirst: boolean): void;
  /** All of a chunk of ours is added. */
  totals(place: OwnerRange): void;
  /** A chunk of the result is in its place. */
  has(owner: number, place: OwnerRange): void;
}

export function createRoundCheck(
  weights: CheckWeights,
  memberCount: number,
  selfIndex: number,
  codec: RoundCodec,
): RoundCheck {
  const words = () => new Int32Array(CHECK_WORDS * memberCount);
  const [given, received, result, total] = [words(), words(), words(), new Int32Array(CHECK_WORDS)];
  const own = new Int32Array(CHECK_WORDS);
  const add = (into: Int32Array, member: number, { offset }: OwnerRange, integers: Int32Array) =>
    addChecksum(weights, offset, integers, into, CHECK_WORDS * member);
  return {
    sums: { given, received, total, result },
    gave: (owner, place, payload) => add(given, owner, place, codec.integersOf(place, payload)),
    takes: (sender, place, payload, isFirst) => {
      add(received, sender, place, codec.integersOf(place, payload));
      if (!isFirst) return;
      own.fill(0);
      add(own, 0, place, codec.ownIntegers(place));
      for (const into of [given, received]) addWords(into, CHECK_WORDS * selfIndex, own, 0);
    },
    totals: (place) => {
      // An exact total is the result, which `has` adds up.
      if (!codec.isExact) add(total, 0, place, codec.totalOf(place));
    },
    has: (owner, place) => {
      if (owner !== selfIndex || !codec.isExact) return add(result, owner, place, codec.resultOf(place));
      own.fill(0);
      add(own, 0, place, codec.resultOf(place));
      addWords(total, 0, own, 0);
      addWords(result, CHECK_WORDS * owner, own, 0);
    },
  };
}

/** As an update tells it: in a large fleet totals alone. */
export function roundCheckOf({ given, received, total, result }: RoundChecksums): RoundCheckMessage {
  const isLarge = given.length > CHECK_WORDS * MAX_LOCALISED_MEMBERS;
  const told = (words: Int32Array) => encodeChecksums(isLarge ? sumOfWords(words) : words);
  return {
    given: told(given),
    received: isLarge ? "" : encodeChecksums(received),
    total: encodeChecksums(total),
    result: told(result),
  };
}
