/** A job with its data ready: what the coordinator trains. */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import type { InitialState } from "./initial_adapter.ts";
import type { LocalPlan } from "./schedule/local_plan.ts";
import type { CheckpointSteps } from "./schedule/shard_plan.ts";

/** A validated job whose data is ready: everything that the steps need, computed before the first one. */
export interface PlannedJob {
  readonly id: string;
  readonly spec: JobSpec;
  /** SHA-256 of the canonical spec, data included: state of another spec is never loaded. */
  readonly specHash: string;
  readonly model: ModelManifest;
  /** Where the coordinator found the base model; a worker on the same machine may read it there after checking it. */
  readonly modelFolder: string;
  /** With local steps: outer steps, as everywhere here. */
  readonly totalSteps: number;
  readonly checkpointSteps: CheckpointSteps;
  readonly maxTokensPerMicroBatch: number;
  readonly maxPositions: number;
  /** Epochs done after a step (1-based): 0.5 after half of the first one's micro-batches. */
  epochsAfter(step: number): number;
  /**
   * The micro-batches of a step (1-based), with local steps of a data step, in their order; pure, so that an
   * attempt can be done again.
   */
  microBatchesOf(step: number): readonly MicroBatch[];
  /** Tokens that go through the model in all data steps up to this one (0: none). */
  tokensThrough(dataStep: number): number;
  /** The lines of the training file, from 1, that a micro-batch of a step, or an inner loop, was made of. */
  linesOf(step: number, index: number): readonly number[];
  /** What step 0 is, where the job trains on from an earlier one's adapter; null or left out: what the seed makes. */
  readonly initial?: InitialState | null;
  /** How data steps are dealt to replicas; null or left out: a step is one data step. */
  readonly local?: LocalPlan | null;
}
