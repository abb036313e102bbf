/** Which micro-batches an evaluation has, and after which steps there is one. Pure: the same after every restart. */
import type { Example } from "../../../shared/data/packing/example.ts";
import type { MicroBatch } from "../../../shared/data/packing/micro_batch.ts";
import { toMicroBatch } from "../../../shared/data/packing/packing.ts";
import type { JobSpec, TrainingSpec } from "../../../shared/job/job_spec_schema.ts";
import { documentAt, rowCountOf, type RowIndex, type StoredRows } from "../preparation/packed_rows.ts";
import { type LocalPlan, outerCheckpointSteps } from "./local_plan.ts";
import {
  type CheckpointSteps,
  checkpointSteps,
  type PlannedCheckpoints,
  type ShardPlan,
} from "./shard_plan.ts";

export interface EvaluationPlan {
  /** Steps after which the validation rows are evaluated; 0: before the first. */
  readonly steps: CheckpointSteps;
  readonly microBatchCount: number;
  microBatchAt(index: number): MicroBatch;
  /** Tokens of the largest micro-batch. */
  readonly maxTokens: number;
  /** The rows one by one, in the order of the micro-batches; left out: only the micro-batches are known. */
  readonly documents?: { readonly count: number; at(index: number): Example };
}

/** transformers' own `per_device_eval_batch_size`. */
const DEFAULT_ROWS = 8;

/** @param trainingTokens of the largest micro-batch of training: the memory that a worker has anyway */
export function planEvaluation(
  rows: StoredRows,
  { training }: Pick<JobSpec, "training">,
  steps: CheckpointSteps,
  trainingTokens: number,
): EvaluationPlan {
  const starts = microBatchStarts(rows, training.per_device_eval_batch_size ?? DEFAULT_ROWS, trainingTokens);
  const lengthOf = (index: number) =>
    rows.documentStarts[starts[index + 1]!]! - rows.documentStarts[starts[index]!]!;
  const microBatchCount = starts.length - 1;
  let maxTokens = 0;
  for (let index = 0; index < microBatchCount; index++) maxTokens = Math.max(maxTokens, lengthOf(index));
  return {
    steps,
    microBatchCount,
    maxTokens,
    documents: { count: rows.documentStarts.length - 1, at: (index) => documentAt(rows, index) },
    microBatchAt(index) {
      const documents: Example[] = [];
      for (let at = starts[index]!; at < starts[index + 1]!; at++) documents.push(documentAt(rows, at));
      return toMicroBatch([{ documents }]);
    },
  };
}

/**
 * Index of each micro-batch's first document, and the end. Up to `maxRows` rows together, as long as they are within the
 * tokens of a micro-batch of training. A longer row is taken apart: its documents do not see each other. A longer document
 * is a micro-batch of its own.
 */
function microBatchStarts(
  { rowStarts, documentStarts }: RowIndex,
  maxRows: number,
  maxTokens: number,
): number[] {
  const starts = [0];
  let [rowCount, tokenCount] = [0, 0];
  const begin = (document: number) => {
    if (document > starts.at(-1)!) starts.push(document);
    [rowCount, tokenCount] = [0, 0];
  };
  for (let row = 0; row < rowCountOf({ rowStarts }); row++) {
    const [from, to] = [rowStarts[row]!, rowStarts[row + 1]!];
    const length = documentStarts[to]! - documentStarts[from]!;
    if (rowCount === maxRows || tokenCount + length > maxTokens) begin(from);
    for (let document = from; document < to; document++) {
      const own = documentStarts[document + 1]! - documentStarts[document]!;
      if (tokenCount > 0 && tokenCount + own > maxTokens) begin(document);
      tokenCount += own;
    }
    rowCount++;
  }
  begin(documentStarts.length - 1);
  return starts;
}

/** As transformers' `DefaultFlowCallback`, and after the last step. */
export function evaluationSteps(
  plan: Pick<ShardPlan, "totalSteps" | "stepsPerEpoch" | "epochsAfter">,
  training: TrainingSpec,
  local: LocalPlan | null,
): CheckpointSteps {
  const { eval_strategy = "no", eval_steps = 0, eval_delay = 0, eval_on_start = false } = training;
  const all = checkpointSteps(plan, { save_strategy: eval_strategy, save_steps: eval_steps });
  const isEarly = (dataStep: number) =>
    dataStep < plan.totalSteps &&
    (eval_strategy === "epoch" ? plan.epochsAfter(dataStep) : dataStep) < eval_delay;
  const delayed: PlannedCheckpoints = {
    includes: (step) => all.includes(step) && !isEarly(step),
    includesAny(first, last) {
      while (first <= last && isEarly(first)) first++;
      return all.includesAny(first, last);
    },
  };
  const steps = local === null ? delayed : outerCheckpointSteps(delayed, local);
  return { includes: (step) => step === 0 ? eval_on_start : steps.includes(step) };
}
