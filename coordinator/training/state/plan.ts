/** What one start of a job trains by. */
import type { Layout } from "../../planning/adapter_layout.ts";
import type { LocalPlan } from "../../planning/schedule/local_plan.ts";
import type { ScheduleSpec } from "../../planning/schedule/schedule.ts";
import type { CheckpointSteps } from "../../planning/schedule/shard_plan.ts";

/** What stays the same for one start of a job's training. */
export interface TrainingPlan {
  readonly jobId: string;
  readonly startId: string;
  readonly specHash: string;
  readonly totalSteps: number;
  readonly checkpointSteps: CheckpointSteps;
  readonly schedule: ScheduleSpec;
  /** With local steps: inner loops. */
  microBatchCountOf(step: number): number;
  /** Of a job with local steps. */
  readonly local?: LocalPlan | null;
  /** Whether a micro-batch is computed by a second worker, too: the same every time that it is asked. */
  isAudited(step: number, index: number): boolean;
  /** Whether the job fails where two workers give different bits and nobody can tell who is right. */
  readonly failsUnresolved: boolean;
  /** How gradients travel; exact where it is left out. */
  readonly gradientCodec?: "exact" | "int8";
  /** Nobody else's: seeds of checksums are made of it, so that no worker knows the next one. */
  readonly checkKey?: string;
  /** Of the adapter, by the job and its base model; null or left out: a worker is believed. */
  readonly layout?: Layout | null;
}
