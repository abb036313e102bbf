/** What an all-reduce is asked and what it answers; `all_reduce.ts` makes one. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import type { GradientCodec } from "./codecs.ts";
import type { SumsUnit } from "./error_feedback.ts";
import type { RoundChecksums } from "./round_check.ts";
import type { RoundId } from "./round_id.ts";

/** The subjects of one job. Every one ends with the worker who speaks, so that the broker can tell who may. */
export interface AllReduceSubjects {
  /** `sender` → `owner`: sums for the owner's range, and chunks of a finished range that `owner` lost. */
  reduceScatter(generation: number, owner: string, sender: string): string;
  /** All that comes to `owner`, of any generation and sender (wildcards). */
  reduceScatterTo(owner: string): string;
  /** `owner` → everybody: its finished range. */
  allGather(generation: number, owner: string): string;
  /** `sender` → `target`: which chunks have arrived. */
  ack(generation: number, target: string, sender: string): string;
  ackTo(target: string): string;
  /** The worker who spoke, from a subject of any of these forms. */
  senderOf(subject: string): string;
}

export interface AllReduceOptions {
  /** Better a connection of its own than the one of the heartbeats. */
  readonly bus: Bus;
  readonly jobId: string;
  /** Names the start of the training, where a job may be started again with the same steps. */
  readonly startId?: string;
  /** This worker's id. */
  readonly self: string;
  readonly subjects: AllReduceSubjects;
  readonly clock?: Clock;
  /** The same on all members; `exact`. */
  readonly codec?: GradientCodec;
  /** The same on all members; by the size of the gradient where it is left out. */
  readonly chunkBytes?: number;
  /**
   * After so long without a new chunk the missing ones are asked for; the time doubles while nothing comes. By the size of
   * the chunks where it is left out.
   */
  readonly quietMs?: number;
  /** The most that is kept of a round that was not entered yet. */
  readonly maxEarlyBytes?: number;
  /** Lets the event loop turn, between two chunks. */
  readonly yieldToEventLoop?: () => Promise<void>;
}

export interface ReduceRequest {
  readonly round: RoundId;
  /** Ids of all workers that take part, sorted, this one included. */
  readonly members: readonly string[];
  /** Size of each member's range in proportion, such as its bandwidth; equal where it is left out. */
  readonly weights?: readonly number[];
  /**
   * This worker's gradient sums. They are overwritten with the result as it comes, and are worthless after a failure. No
   * partial sum may leave the range of i32 (decision 0001 sees to it).
   */
  readonly sums: Int32Array;
  /** What sums of 1 stand for, sorted, from element 0 on; `int8` needs it where that changes between rounds. */
  readonly units?: readonly SumsUnit[];
  /** Seeds the weights of the checksums; the same on all members. 0. */
  readonly checkSeed?: number;
  readonly signal: AbortSignal;
  /** How long the round may take. */
  readonly deadlineMs: number;
}

export interface ReduceResult {
  /** The array of the request, holding the sums over all members; not touched any more. */
  readonly sums: Int32Array;
  /** Of what this worker gave, got and has; null where it was alone. */
  readonly checksums: RoundChecksums | null;
  /** Payload bytes that this worker has published for the round, headers apart. */
  readonly bytesSent: number;
}

export interface AllReduceStats {
  /** Payload bytes of chunks in all rounds, failed ones included. */
  readonly bytesSent: number;
  readonly chunksRepeated: number;
  readonly duplicateFrames: number;
  /** Of a round that is over, or not of this job. */
  readonly staleFrames: number;
  readonly corruptFrames: number;
  /** From somebody else than they say, or not at the place of a chunk. */
  readonly mismatchedFrames: number;
  /** Came before the round was entered and found no room. */
  readonly droppedEarlyFrames: number;
}

export interface AllReduce {
  /**
   * Resolves when the result is whole here and the own range is out; others may still need chunks, until `release`.
   * Rejects with the signal's reason, with `RoundTimeout` (code `timeout`), with code `conflict` while another round is
   * running, or `invalid_request` for members that are not sorted or do not include this worker.
   */
  reduce(request: ReduceRequest): Promise<ReduceResult>;
  /** The round's step is committed: what a lossy codec has lost of this worker's numbers counts in the next one's. */
  commit(round: RoundId): void;
  /**
   * The step is decided: nobody needs this round's chunks any more, and what was lost without a commit is forgotten.
   * Entering another round does the same.
   */
  release(round: RoundId): void;
  readonly stats: AllReduceStats;
  /** What this worker's link receives at its best; null where no round has shown it yet. */
  readonly linkBytesPerSecond: number | null;
  /** Ends a running round with code `aborted` and listens no more. The bus stays open. */
  close(): void;
}
