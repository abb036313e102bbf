/** What decisions depend on besides the training and the event. */
import type { Layout } from "../../planning/adapter_layout.ts";
import type { SelectionRule } from "../../planning/evaluation/selection.ts";
import type { LocalPlan } from "../../planning/schedule/local_plan.ts";
import type { ScheduleSpec } from "../../planning/schedule/schedule.ts";
import type { CheckpointSteps } from "../../planning/schedule/shard_plan.ts";
import type { Limits } from "../../../shared/protocol/limits.ts";

export interface StepContext {
  readonly plan: TrainingPlan;
  /** The coordinator's clock, in milliseconds. */
  readonly now: number;
  readonly limits: Limits;
}

/** What stays the same for one start of a job's training. */
export interface TrainingPlan {
  readonly jobId: string;
  readonly startId: string;
  readonly specHash: string;
  readonly totalSteps: number;
  readonly checkpointSteps: CheckpointSteps;
  readonly schedule: ScheduleSpec;
  /** Rates of steps after this one are half of the schedule's; null or left out: none. */
  readonly halvedAfter?: number | null;
  /** With local steps: inner loops. */
  microBatchCountOf(step: number): number;
  /** Null or left out: a job without local steps. */
  readonly local?: LocalPlan | null;
  /** Null or left out: nothing is evaluated. */
  readonly evaluation?: {
    /** Steps after which there is an evaluation; 0: before the first. */
    readonly steps: CheckpointSteps;
    readonly microBatchCount: number;
    readonly rule: SelectionRule;
  } | null;
  /** Whether a second worker recomputes a micro-batch; the same on every call. */
  isAudited(step: number, index: number): boolean;
  /** Whether the job fails if two workers compute different bits and it cannot be decided which is right. */
  readonly failsUnresolved: boolean;
  /** How gradients travel; left out: exact. */
  readonly gradientCodec?: "exact" | "int8";
  /** Secret from which the seeds of checksums follow, so that no worker can predict the next one. */
  readonly checkKey?: string;
  /** The adapter's layout, from the job and its base model; null or left out: workers are believed. */
  readonly layout?: Layout | null;
}
