/** What an all-reduce is asked and what it answers; `all_reduce.ts` makes one. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import type { AllReduceStats } from "./all_reduce_stats.ts";
import type { GradientCodec } from "./codec/codecs.ts";
import type { SumsUnit } from "./codec/error_feedback.ts";
import type { RoundChecksums } from "./round/round_check.ts";
import type { RoundId } from "./round/round_id.ts";

/** The subjects of one job. Each ends with the publishing worker, so that the broker can check who may publish. */
interface AllReduceSubjects {
  /** `sender` → `owner`: sums for the owner's range, and chunks of a finished range that `owner` lost. */
  reduceScatter(generation: number, owner: string, sender: string): string;
  /** Everything for `owner`, of any generation and sender (wildcards). */
  reduceScatterTo(owner: string): string;
  /** `owner` → all members: its finished range. */
  allGather(generation: number, owner: string): string;
  /** `sender` → `target`: which chunks have arrived. */
  ack(generation: number, target: string, sender: string): string;
  ackTo(target: string): string;
  /** The publishing worker, from a subject of any of these forms. */
  senderOf(subject: string): string;
}

export interface AllReduceOptions {
  /** Preferably not the connection of the heartbeats. */
  readonly bus: Bus;
  readonly jobId: string;
  /** Names the start of the training: a job may be started again with the same steps. */
  readonly startId?: string;
  /** This worker's id. */
  readonly self: string;
  readonly subjects: AllReduceSubjects;
  readonly clock?: Clock;
  /** The same on all members. Default: `exact`. */
  readonly codec?: GradientCodec;
  /** Counted into; may outlive this all-reduce. */
  readonly stats?: AllReduceStats;
  /** The same on all members. Default: by the size of the gradient. */
  readonly chunkBytes?: number;
  /**
   * Missing chunks are requested after this long without a new one; the time doubles while nothing arrives. Default: by the size
   * of the chunks.
   */
  readonly quietMs?: number;
  /** Capacity for frames of a round that is not entered yet. */
  readonly maxEarlyBytes?: number;
  /** Called between two chunks. */
  readonly yieldToEventLoop?: () => Promise<void>;
}

export interface ReduceRequest {
  readonly round: RoundId;
  /** Ids of all participating workers, sorted, this one included. */
  readonly members: readonly string[];
  /** Relative sizes of the members' ranges, such as their bandwidths. Default: equal. */
  readonly weights?: readonly number[];
  /**
   * This worker's gradient sums: overwritten with the result as it arrives, worthless after a failure. No partial sum may leave
   * the range of i32 (decision 0001).
   */
  readonly sums: Int32Array;
  /** What sums of 1 stand for, sorted, from element 0 on; `int8` needs it if that changes between rounds. */
  readonly units?: readonly SumsUnit[];
  /** Seeds the weights of the checksums; the same on all members. Default: 0. */
  readonly checkSeed?: number;
  readonly signal: AbortSignal;
  /** The longest that the round may take. */
  readonly deadlineMs: number;
}

export interface ReduceResult {
  /** The array of the request, holding the sums over all members; no longer written to. */
  readonly sums: Int32Array;
  /** Of what this worker gave, received and has; null if it was alone. */
  readonly checksums: RoundChecksums | null;
}

export interface AllReduce {
  /**
   * Resolves when the result is whole here and this worker's range is out; others may still need chunks, until `release`.
   * Rejects with the signal's reason, with `RoundTimeout` (code `timeout`), with code `conflict` while a different round is
   * running, or `invalid_request` for members that are not sorted or do not include this worker.
   */
  reduce(request: ReduceRequest): Promise<ReduceResult>;
  /** The round's step is committed: what a lossy codec lost of this worker's numbers counts in the next round. */
  commit(round: RoundId): void;
  /**
   * The step is decided: no member needs this round's chunks any more, and what was lost without a commit is forgotten.
   * Entering another round does the same.
   */
  release(round: RoundId): void;
  /** A copy of the counts so far. */
  readonly stats: AllReduceStats;
  /** Ends a running round with code `aborted` and unsubscribes. The bus stays open. */
  close(): void;
}
