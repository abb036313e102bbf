import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import type { InitialState } from "./initial_adapter.ts";
import type { EvaluationPlan } from "./schedule/evaluation_plan.ts";
import type { LocalPlan } from "./schedule/local_plan.ts";
import type { CheckpointSteps } from "./schedule/shard_plan.ts";

/** A validated job whose data is ready: what the coordinator trains. */
export interface PlannedJob {
  readonly id: string;
  readonly spec: JobSpec;
  /** SHA-256 of the canonical spec, data included: state of a different spec is never loaded. */
  readonly specHash: string;
  readonly model: ModelManifest;
  /** The base model on the coordinator's machine; a worker there may read it after checking it. */
  readonly modelFolder: string;
  /** With local steps: outer steps, as everywhere here. */
  readonly totalSteps: number;
  readonly checkpointSteps: CheckpointSteps;
  readonly maxTokensPerMicroBatch: number;
  readonly maxPositions: number;
  /** Epochs done after a step (1-based): 0.5 after half of the first one's micro-batches. */
  epochsAfter(step: number): number;
  /** The micro-batches of a step (1-based; with local steps of a data step), the same for every attempt. */
  microBatchesOf(step: number): readonly MicroBatch[];
  /** How many there are, without reading their rows; left out: as many as `microBatchesOf` has. */
  microBatchCountOf?(step: number): number;
  /** Tokens that go through the model in all data steps up to this one (0: none). */
  tokensThrough(dataStep: number): number;
  /** Lines of the training file (1-based) in a micro-batch of a step, or in an inner loop. */
  linesOf(step: number, index: number): readonly number[];
  /** The state of step 0 if the job trains on from an earlier one's adapter; null or left out: made from the seed. */
  readonly initial?: InitialState | null;
  /**
   * The newest stored state of the job itself, with its step and `maxAbs`, where it goes on if the broker has lost its log; null
   * or left out: none.
   */
  readonly storedState?: () => Promise<InitialState | null>;
  /** Null or left out: nothing is evaluated. */
  readonly evaluation?: EvaluationPlan | null;
  /** Learning rates of steps after this one are half of the schedule's; null or left out: none. */
  readonly halvedAfter?: number | null;
  /** Null or left out: a step is one data step. */
  readonly local?: LocalPlan | null;
  /** All tokens that go through the model; left out: unknown. */
  readonly totalTokens?: number;
  /** The files that micro-batches are read from, open until this is disposed of; left out: none. */
  readonly files?: PlannedFiles;
}

export interface PlannedFiles extends Disposable {
  /** Aborted when rows cannot be read any more: the job goes on with a new plan. */
  readonly lost: AbortSignal;
}
