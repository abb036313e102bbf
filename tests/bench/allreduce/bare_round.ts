/** One member's progress in a round of the bare pattern: which chunks it sent, received and had acknowledged. */
import { chunkCountOf, type ChunkPlan, chunkRange } from "../../../worker/allreduce/plan/chunk_plan.ts";
import type { OwnerRange } from "../../../worker/allreduce/plan/owner_ranges.ts";

export interface BareRoundPlan {
  /** Unique, because the rounds of different members overlap. */
  readonly number: number;
  /** By member: the elements that it owns. */
  readonly ranges: readonly OwnerRange[];
  readonly plan: ChunkPlan;
  /** Stands for the gradient: read when sending, overwritten when receiving. */
  readonly words: Int32Array;
}

export interface OutgoingChunk {
  readonly owner: number;
  readonly bytes: Uint8Array;
}

/** Acks per window, as in the all-reduce: without them the broker would cut off a slow receiver. */
const ACKS_PER_WINDOW = 4;

export class BareRound {
  readonly number: number;
  /** An ack stands for this many chunks. */
  readonly chunksPerAck: number;
  readonly #self: number;
  readonly #round: BareRoundPlan;
  /** By owner: chunks of its range. */
  readonly #chunkCounts: readonly number[];
  /** By sender: chunks of our range. By owner: chunks of its reduced range. */
  readonly #received = { sums: [] as number[], range: [] as number[] };
  /** By owner: our chunks for it. By receiver: chunks of our reduced range. */
  readonly #acked = { sums: [] as number[], range: [] as number[] };
  /** By owner; for ourselves the chunks of our reduced range. */
  readonly #sent: number[];

  constructor(round: BareRoundPlan, self: number) {
    const zeros = () => new Array<number>(round.ranges.length).fill(0);
    this.number = round.number;
    this.chunksPerAck = Math.max(1, Math.floor(round.plan.windowChunks / ACKS_PER_WINDOW));
    this.#self = self;
    this.#round = round;
    this.#chunkCounts = round.ranges.map((range) => chunkCountOf(range, round.plan.chunkElements));
    this.#received = { sums: zeros(), range: zeros() };
    this.#acked = { sums: zeros(), range: zeros() };
    this.#sent = zeros();
  }

  /**
   * Stores a member's next chunk: of its sums for our range, or of its own reduced range.
   * @returns whether an ack is due
   */
  receive(kind: "sums" | "range", from: number, data: Uint8Array): boolean {
    const count = ++this.#received[kind][from]!;
    this.#bytesOf(kind === "sums" ? this.#self : from, count - 1).set(data);
    return count % this.chunksPerAck === 0;
  }

  receiveAck(kind: "sums" | "range", from: number): void {
    this.#acked[kind][from]! += this.chunksPerAck;
  }

  /** The next chunk that the windows allow, trying the owners from `turn` on; null if all have to wait. */
  takeNext(turn: number): OutgoingChunk | null {
    const { ranges, plan } = this.#round;
    for (let tried = 0; tried < ranges.length; tried++) {
      const owner = (turn + tried) % ranges.length;
      const chunk = this.#sent[owner]!;
      if (chunk === this.#chunkCounts[owner] || chunk - this.#ackedBy(owner) >= plan.windowChunks) continue;
      if (owner === this.#self && this.#minOfOthers(this.#received.sums) <= chunk) continue;
      this.#sent[owner] = chunk + 1;
      return { owner, bytes: this.#bytesOf(owner, chunk) };
    }
    return null;
  }

  get isDone(): boolean {
    const counts = this.#chunkCounts;
    return this.#minOfOthers(this.#received.sums) === counts[this.#self] &&
      counts.every((count, owner) =>
        this.#sent[owner] === count && (owner === this.#self || this.#received.range[owner] === count)
      );
  }

  #bytesOf(owner: number, chunk: number): Uint8Array {
    const { ranges, plan, words } = this.#round;
    const { offset, count } = chunkRange(ranges[owner]!, plan.chunkElements, chunk);
    return new Uint8Array(words.buffer, 4 * offset, 4 * count);
  }

  #ackedBy(owner: number): number {
    return owner === this.#self ? this.#minOfOthers(this.#acked.range) : this.#acked.sums[owner]!;
  }

  #minOfOthers(counts: readonly number[]): number {
    return Math.min(...counts.filter((_, member) => member !== this.#self));
  }
}
