/** The requests and results of an all-reduce; `all_reduce.ts` implements it. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Arrival } from "../async/arrival.ts";
import type { AllReduceStats } from "./all_reduce_stats.ts";
import type { GradientCodec } from "./codec/codecs.ts";
import type { SumsUnit } from "./codec/error_feedback.ts";
import type { RoundChecksums } from "./round/round_check.ts";
import type { RoundId } from "./round/round_id.ts";

/** The subjects of one job. Each ends with the publishing worker, so that the broker can check permissions. */
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
  readonly self: string;
  readonly subjects: AllReduceSubjects;
  readonly clock?: Clock;
  /** The same on all members. Default: `exact`. */
  readonly codec?: GradientCodec;
  /** Counted into; may outlive this all-reduce. */
  readonly stats?: AllReduceStats;
  /** The same on all members. Default: by the size of the gradient. */
  readonly chunkBytes?: number;
  /** Missing chunks are requested after this long without a new one, doubling while nothing arrives. Default: by chunk size. */
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
  /**
   * How much of `sums` is there, if not all: the round begins with that, and the deadline counts from the moment at which they are
   * whole. If they do not come, abort the signal.
   */
  readonly arrival?: Arrival;
  /** The units of the sums, sorted, from element 0 on; `int8` needs them if they change between rounds. */
  readonly units?: readonly SumsUnit[];
  /** Seeds the weights of the checksums; the same on all members. Default: 0. */
  readonly checkSeed?: number;
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
}

export interface ReduceResult {
  /** The array of the request, holding the sums over all members; no longer written to. */
  readonly sums: Int32Array;
  /** Null if this worker was alone. */
  readonly checksums: RoundChecksums | null;
}

export interface AllReduce {
  /**
   * Resolves when the result is whole here and this worker's range is out; others may still need chunks, until `release`.
   * Rejects with the signal's reason, with `RoundTimeout` (code `timeout`), with code `conflict` while a different round is
   * running, or `invalid_request` for members that are not sorted or do not include this worker.
   */
  reduce(request: ReduceRequest): Promise<ReduceResult>;
  /** The round's step is committed: a lossy codec carries its rounding errors into the next round. */
  commit(round: RoundId): void;
  /**
   * The step is decided: drops this round's chunks, which no member needs any more, and rounding errors without a commit. Entering
   * a new round does the same.
   */
  release(round: RoundId): void;
  /** A copy of the counts so far. */
  readonly stats: AllReduceStats;
  /** Ends a running round with code `aborted` and unsubscribes. The bus stays open. */
  close(): void;
}
