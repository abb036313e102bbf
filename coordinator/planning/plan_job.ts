/** From packed rows to the job that the fleet trains. Pure: a job has the same plan after every restart. */
import { toMicroBatch } from "../../shared/data/packing/packing.ts";
import { specHash } from "../../shared/job/job_spec_hash.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import { numbersOf } from "../../shared/protocol/inner_loop_codec.ts";
import type { PlannedJob } from "./planned_job.ts";
import {
  linesOfRows,
  longestDocumentOf,
  rowAt,
  rowCountOf,
  rowLengthsOf,
  type StoredRows,
} from "./preparation/packed_rows.ts";
import {
  firstNumberOf,
  type LocalPlan,
  localPlanOf,
  outerCheckpointSteps,
  placeOfNumber,
} from "./schedule/local_plan.ts";
import { evaluationSteps, planEvaluation } from "./schedule/evaluation_plan.ts";
import { checkpointSteps, planShards, type ShardPlan } from "./schedule/shard_plan.ts";

interface PlanJobOptions {
  readonly id: string;
  readonly spec: JobSpec;
  readonly model: ModelManifest;
  readonly modelFolder: string;
  readonly rows: StoredRows;
  readonly datasetSha256: string;
  /** The rows to evaluate, and the SHA-256 of their file; null or left out: none. */
  readonly validation?: { readonly rows: StoredRows; readonly sha256: string } | null;
}

interface PlannedSteps {
  readonly plan: ShardPlan;
  readonly local: LocalPlan | null;
  /** With local steps: outer ones. */
  readonly totalSteps: number;
}

/** The part of the plan that follows from the number of rows alone. Constant time, for any number of steps. */
export function planSteps({ training, ...spec }: JobSpec, rowCount: number): PlannedSteps {
  const plan = planShards({
    rowCount,
    epochs: training.num_train_epochs,
    rowsPerMicroBatch: training.per_device_train_batch_size,
    microBatchesPerStep: training.gradient_accumulation_steps,
    seed: spec.seed,
    maxSteps: training.max_steps,
    shuffle: spec.dataset.shuffle,
  });
  const local = localPlanOf({ training, ...spec }, plan.totalSteps, plan.microBatchCountOf);
  return { plan, local, totalSteps: local?.totalSteps ?? plan.totalSteps };
}

/** Takes time for the rows, none for the steps. */
export function planJob(options: PlanJobOptions): PlannedJob {
  const { id, spec, model, modelFolder, rows, datasetSha256, validation = null } = options;
  const { training } = spec;
  const { plan, local, totalSteps } = planSteps(spec, rowCountOf(rows));
  const lengths = rowLengthsOf(rows);
  const saves = checkpointSteps(plan, training);
  const saved = local === null ? saves : outerCheckpointSteps(saves, local);
  const maxTokensPerMicroBatch = largestMicroBatch(plan, lengths, spec);
  const evaluation = validation === null ? null : planEvaluation(
    validation.rows,
    spec,
    evaluationSteps(plan, training, local),
    maxTokensPerMicroBatch,
  );
  const tokensThrough = tokenCounter(plan, lengths);
  const keepsBest = training.load_best_model_at_end === true && evaluation !== null;
  return {
    ...{ id, spec, model, modelFolder, totalSteps, local, evaluation, maxTokensPerMicroBatch },
    specHash: specHash(spec, {
      ...{ datasetSha256, modelHash: model.hash },
      ...validation === null ? {} : { validationSha256: validation.sha256 },
    }),
    // The best of all evaluations can only be the result if its adapter is stored.
    checkpointSteps: keepsBest
      ? { includes: (step) => saved.includes(step) || (step > 0 && evaluation.steps.includes(step)) }
      : saved,
    maxPositions: Math.max(
      longestDocumentOf(rows),
      validation === null ? 0 : longestDocumentOf(validation.rows),
    ),
    epochsAfter: (step) => plan.epochsAfter(local?.dataStepsOf(step).last ?? step),
    microBatchCountOf: plan.microBatchCountOf,
    microBatchesOf: (step) =>
      plan.microBatchesOf(step).map((indices) => toMicroBatch(indices.map((index) => rowAt(rows, index)))),
    tokensThrough,
    totalTokens: tokensThrough(plan.totalSteps),
    linesOf: (step, index) => {
      const numbers = local === null
        ? [firstNumberOf(step, training) + index]
        : numbersOf(local.innerLoopsOf(step)[index]!);
      return linesOfRows(
        rows,
        numbers.flatMap((number) => {
          const { dataStep, index } = placeOfNumber(number, training);
          return plan.microBatchesOf(dataStep)[index]!;
        }),
      );
    },
  };
}

/** Rows examined for the exact size of the largest micro-batch: some ten milliseconds. */
const MAX_EXAMINED_ROWS = 2 ** 17;

/**
 * Tokens of the largest micro-batch of the plan, by which buffers are sized. For a plan with too many of them an upper bound: the
 * tokens of as many of the longest rows.
 */
function largestMicroBatch(
  plan: ShardPlan,
  lengths: Uint32Array,
  { training: { per_device_train_batch_size: rowsEach, gradient_accumulation_steps: microBatches }, dataset }:
    JobSpec,
): number {
  if (rowsEach === 1) return lengths.reduce((max, length) => Math.max(max, length), 0);
  // Without a shuffle all epochs are like the first.
  const steps = dataset.shuffle ? plan.totalSteps : Math.min(plan.totalSteps, plan.stepsPerEpoch);
  if (steps * Math.min(rowsEach * microBatches, lengths.length) > MAX_EXAMINED_ROWS) {
    return lengths.toSorted().subarray(-rowsEach).reduce((sum, length) => sum + length, 0);
  }
  let largest = 0;
  for (let step = 1; step <= steps; step++) {
    for (const indices of plan.microBatchesOf(step)) {
      largest = Math.max(largest, indices.reduce((sum, index) => sum + lengths[index]!, 0));
    }
  }
  return largest;
}

/** Tokens in all data steps up to a given one. Whole epochs have equal sums; the last one's partial sums are cached. */
function tokenCounter(plan: ShardPlan, lengths: Uint32Array): (dataStep: number) => number {
  const ofEpoch = lengths.reduce((sum, length) => sum + length, 0);
  let kept: { readonly epoch: number; readonly sums: Float64Array } | null = null;
  const sumsOf = (epoch: number): Float64Array => {
    if (kept?.epoch !== epoch) {
      const sums = new Float64Array(lengths.length + 1);
      plan.orderOf(epoch).forEach((row, at) => sums[at + 1] = sums[at]! + lengths[row]!);
      kept = { epoch, sums };
    }
    return kept.sums;
  };
  return (dataStep) => {
    if (dataStep === 0) return 0;
    const epoch = plan.epochOf(dataStep);
    return epoch * ofEpoch + sumsOf(epoch)[plan.rowsDoneAfter(dataStep)]!;
  };
}
