/** What a tracker is: one record in a table (trackers.ts) that opens a run and sends what it is given, again if need be. */
import type { Tracking } from "../../job_request/tracking.ts";

/** What a tracker learns of a job at its run's start. */
export interface RunFacts {
  readonly jobId: string;
  readonly name: string;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  /** Hyperparameters under flat names: `training.learning_rate`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tracking: Tracking;
}

/** Metrics after a step, under the names that transformers and TRL log: `loss`, `learning_rate`, `eval_loss`. */
export interface Point {
  readonly step: number;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** NaN and the infinities are values like any other. */
  readonly values: Readonly<Record<string, number>>;
}

export interface RunEnd {
  readonly status: "succeeded" | "failed" | "cancelled";
  readonly at: number;
  readonly step: number;
  readonly error: string | null;
  /** `train_loss`, `train_runtime`, …: of the whole run, as transformers logs them at its end. */
  readonly summary: Readonly<Record<string, number>>;
}

/** What is sent at once: points in order, and the end after the last one. */
export interface Batch {
  readonly points: readonly Point[];
  readonly end: RunEnd | null;
}

/** What a run needs to continue where it stopped, as JSON. Null before the first batch. */
export type RunState = Readonly<Record<string, unknown>> | null;

/** One job's run at one tracker. */
export interface TrackedRun {
  /**
   * Sends a batch and returns the state for the next one. A batch whose new state was lost is sent again with the old state,
   * perhaps with more points, and must not appear twice. Throws a `LoraFleetError`: `unauthorized` for a refused key.
   */
  send(batch: Batch, state: RunState, signal: AbortSignal): Promise<NonNullable<RunState>>;
  /** Where people find the run. */
  placeOf(state: NonNullable<RunState>): string;
  /** Tells the tracker that a silent run still runs. */
  beat?(state: NonNullable<RunState>, signal: AbortSignal): Promise<void>;
}

export interface Tracker {
  /** For people: "MLflow at http://…". */
  readonly title: string;
  /** Why points wait on purpose; null: they are sent. */
  readonly held: string | null;
  /** Throws a `LoraFleetError` with code `unauthorized` if the tracker is there and refuses the key. */
  check(tracking: Tracking, signal: AbortSignal): Promise<void>;
  open(facts: RunFacts): TrackedRun;
}
