/**
 * One member's view of a round as checksums (shared/protocol/linear_check.ts), computed chunk by chunk, so that the event loop never
 * waits for a whole gradient.
 */
import {
  addChecksum,
  addWords,
  CHECK_WORDS,
  type CheckWeights,
} from "../../../shared/protocol/linear_check.ts";
import { MAX_LOCALISED_MEMBERS, sumOfWords } from "../../../shared/protocol/linear_check.ts";
import { encodeChecksums } from "../../../shared/protocol/messages_codec.ts";
import type { RoundCheck as RoundCheckMessage } from "../../../shared/protocol/messages_worker.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";
import type { RoundCodec } from "../codec/round_codec.ts";

/** Two words for each member, in their order; `total` two in all. */
export interface RoundChecksums {
  /** Of this worker's sums, by the owner of the range. */
  readonly given: Int32Array;
  /** Of the chunks received for its own range, by the sender. */
  readonly received: Int32Array;
  /** Of its own range's total. */
  readonly total: Int32Array;
  /** Of the result, by the owner of the range. */
  readonly result: Int32Array;
}

export class RoundCheck {
  readonly sums: RoundChecksums;
  readonly #weights: CheckWeights;
  readonly #selfIndex: number;
  readonly #codec: RoundCodec;
  readonly #own = new Int32Array(CHECK_WORDS);

  constructor(weights: CheckWeights, memberCount: number, selfIndex: number, codec: RoundCodec) {
    const words = () => new Int32Array(CHECK_WORDS * memberCount);
    this.sums = { given: words(), received: words(), result: words(), total: new Int32Array(CHECK_WORDS) };
    this.#weights = weights;
    this.#selfIndex = selfIndex;
    this.#codec = codec;
  }

  /** A chunk of ours goes to its owner for the first time, in this payload. */
  gave(owner: number, place: OwnerRange, payload: Int32Array): void {
    this.#add(this.sums.given, owner, place, this.#codec.integersOf(place, payload));
  }

  /** A chunk for our range is about to be added; the first one brings our own part, which lies in no payload. */
  takes(sender: number, place: OwnerRange, payload: Int32Array, isFirst: boolean): void {
    const { given, received } = this.sums;
    this.#add(received, sender, place, this.#codec.integersOf(place, payload));
    if (!isFirst) return;
    const own = this.#checksumOf(place, this.#codec.ownIntegers(place));
    for (const into of [given, received]) addWords(into, CHECK_WORDS * this.#selfIndex, own, 0);
  }

  /** All of a chunk of ours is added. */
  totals(place: OwnerRange): void {
    // An exact total is the result, which `has` adds up.
    if (!this.#codec.isExact) this.#add(this.sums.total, 0, place, this.#codec.totalOf(place));
  }

  /** A chunk of the result is in its place. */
  has(owner: number, place: OwnerRange): void {
    const { total, result } = this.sums;
    const integers = this.#codec.resultOf(place);
    if (owner !== this.#selfIndex || !this.#codec.isExact) return this.#add(result, owner, place, integers);
    const own = this.#checksumOf(place, integers);
    addWords(total, 0, own, 0);
    addWords(result, CHECK_WORDS * owner, own, 0);
  }

  #add(into: Int32Array, member: number, { offset }: OwnerRange, integers: Int32Array): void {
    addChecksum(this.#weights, offset, integers, into, CHECK_WORDS * member);
  }

  /** Valid until the next call. */
  #checksumOf(place: OwnerRange, integers: Int32Array): Int32Array {
    this.#add(this.#own.fill(0), 0, place, integers);
    return this.#own;
  }
}

/** As an update reports it: in a large fleet totals alone. */
export function roundCheckOf({ given, received, total, result }: RoundChecksums): RoundCheckMessage {
  const isLarge = given.length > CHECK_WORDS * MAX_LOCALISED_MEMBERS;
  const reported = (words: Int32Array) => encodeChecksums(isLarge ? sumOfWords(words) : words);
  return {
    given: reported(given),
    received: isLarge ? "" : encodeChecksums(received),
    total: encodeChecksums(total),
    result: reported(result),
  };
}
