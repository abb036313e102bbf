/** A job's dataset as packed rows, and those as the steps that the fleet trains. */
import { createHash } from "node:crypto";
import { readDataset } from "../../../shared/data/examples/dataset.ts";
import { countExampleLabels } from "../../../shared/data/packing/example.ts";
import { linesOf, packRows, toMicroBatch } from "../../../shared/data/packing/packing.ts";
import type { TokenBound } from "../../../shared/data/tokenizer/token_bound.ts";
import type { Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { type JobSpec, specHash } from "../../../shared/job/job_spec.ts";
import { numbersOf } from "../../../shared/protocol/messages.ts";
import type { ModelManifest } from "../../../shared/model/model_manifest.ts";
import type { PlannedJob } from "../planned_job.ts";
import {
  firstNumberOf,
  type LocalPlan,
  localPlanOf,
  outerCheckpointSteps,
  placeOfNumber,
} from "../schedule/local_plan.ts";
import {
  flattenRows,
  longestDocumentOf,
  type PackedRows,
  rowAt,
  rowCountOf,
  rowLengthsOf,
} from "./packed_rows.ts";
import type { PreparedRows } from "./prepared_file.ts";
import { checkpointSteps, planShards, type ShardPlan } from "../schedule/shard_plan.ts";

export interface PrepareDatasetOptions {
  /** JSON lines. */
  readonly filePath: string;
  /** Of the file as it was uploaded. */
  readonly fileSha256: string;
  readonly spec: JobSpec;
  readonly tokenizer: Tokenizer;
  /** Of the tokenizer: rows that are too long by it are not tokenised. */
  readonly bound?: TokenBound;
  readonly signal?: AbortSignal;
  /** Told how many bytes of the file have been read, again from 0 each time that it is read. */
  readonly onRead?: (bytes: number) => void;
}

/**
 * The same file, spec and tokenizer always give the same rows in the same order. Throws a `LoraFleetError` as
 * `readDataset` does, `storage` where the file cannot be read, and `corrupt` where it is not the one that was uploaded.
 */
export async function prepareDataset(
  { filePath, fileSha256, spec, tokenizer, bound, signal, onRead = () => {} }: PrepareDatasetOptions,
): Promise<PreparedRows> {
  const { dataset } = spec;
  const sha256 = await hashFile(filePath);
  if (fileSha256 !== sha256) {
    throw new LoraFleetError(
      "corrupt",
      `the training file has the SHA-256 ${sha256}, but had ${fileSha256} when it was uploaded; upload it again`,
      { param: "training_file" },
    );
  }
  const { examples, truncatedRowCount, warnings } = await readDataset(
    () => Promise.resolve(readFile(filePath, onRead)),
    dataset,
    tokenizer,
    signal,
    bound,
  );
  const strategy = dataset.packing ? dataset.packing_strategy : "none";
  // A stretch of a "wrapped" stream may be all prompt: it has no gradient, and a step of such rows would have none.
  const rows = packRows(examples, strategy, dataset.max_seq_length)
    .filter((row) => row.documents.some((document) => countExampleLabels(document) > 0));
  if (rows.length === 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      `packed into rows of ${dataset.max_seq_length} tokens, no row has a token to train; raise dataset.max_seq_length`,
      { param: "dataset.max_seq_length" },
    );
  }
  const flat = flattenRows(rows);
  const tokenCount = flat.tokens.length;
  return {
    rows: flat,
    report: {
      exampleCount: examples.length,
      rowCount: rows.length,
      tokenCount,
      trainedTokenCount: rows.reduce(
        (sum, { documents }) =>
          documents.reduce((inRow, document) => inRow + countExampleLabels(document), sum),
        0,
      ),
      truncatedRowCount,
      longestDocument: longestDocumentOf(flat),
      packingEfficiency: tokenCount / (rows.length * dataset.max_seq_length),
      warnings,
    },
  };
}

export interface PlanJobOptions {
  readonly id: string;
  readonly spec: JobSpec;
  readonly model: ModelManifest;
  readonly modelFolder: string;
  readonly rows: PackedRows;
  /** Of the dataset's file. */
  readonly datasetSha256: string;
}

export interface PlannedSteps {
  readonly plan: ShardPlan;
  readonly local: LocalPlan | null;
  /** With local steps: outer ones. */
  readonly totalSteps: number;
}

/** Pure, and at once however many steps there are: all that the number of rows decides. */
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

/** Pure: the plan of a job is the same after every restart. Takes time for the rows, none for the steps. */
export function planJob(options: PlanJobOptions): PlannedJob {
  const { id, spec, model, modelFolder, rows, datasetSha256 } = options;
  const { training } = spec;
  const { plan, local, totalSteps } = planSteps(spec, rowCountOf(rows));
  const lengths = rowLengthsOf(rows);
  const saves = checkpointSteps(plan, training);
  return {
    id,
    spec,
    specHash: specHash(spec, { datasetSha256, modelHash: model.hash }),
    model,
    modelFolder,
    totalSteps,
    checkpointSteps: local === null ? saves : outerCheckpointSteps(saves, local),
    maxTokensPerMicroBatch: largestMicroBatch(plan, lengths, spec),
    maxPositions: longestDocumentOf(rows),
    epochsAfter: (step) => plan.epochsAfter(local?.dataStepsOf(step).last ?? step),
    microBatchesOf: (step) =>
      plan.microBatchesOf(step).map((indices) => toMicroBatch(indices.map((index) => rowAt(rows, index)))),
    tokensThrough: tokenCounter(plan, lengths),
    linesOf: (step, index) => {
      const numbers = local === null
        ? [firstNumberOf(step, training) + index]
        : numbersOf(local.innerLoopsOf(step)[index]!);
      return linesOf(numbers.flatMap((number) => {
        const { dataStep, index } = placeOfNumber(number, training);
        return plan.microBatchesOf(dataStep)[index]!.map((row) => rowAt(rows, row));
      }));
    },
    local,
  };
}

/** Rows that are looked at for the exact size of the largest micro-batch: some ten milliseconds. */
const MAX_EXAMINED_ROWS = 2 ** 17;

/**
 * Buffers are sized by it: the most tokens of any micro-batch that the plan holds. Of a plan with too many to look at each, the
 * tokens of as many of the longest rows, which none exceeds.
 */
function largestMicroBatch(
  plan: ShardPlan,
  lengths: Uint32Array,
  { training: { per_device_train_batch_size: rowsEach, gradient_accumulation_steps: microBatches }, dataset }:
    JobSpec,
): number {
  if (rowsEach === 1) return lengths.reduce((max, length) => Math.max(max, length), 0);
  // Without a new order for each epoch all are like the first.
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

/** Of data steps from the first on: whole epochs are alike, and of the last one the sums along its order are kept. */
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

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of readFile(path, () => {})) hash.update(chunk);
  return hash.digest("hex");
}

async function* readFile(path: string, onRead: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  const unreadable = (cause: unknown) =>
    new LoraFleetError("storage", `cannot read the training file: ${messageOf(cause)}`, {
      param: "training_file",
      cause,
    });
  const file = await Deno.open(path).catch((cause) => {
    throw unreadable(cause);
  });
  try {
    let bytes = 0;
    for await (const chunk of file.readable) {
      onRead(bytes += chunk.length);
      yield chunk;
    }
  } catch (cause) {
    throw unreadable(cause);
  }
}
