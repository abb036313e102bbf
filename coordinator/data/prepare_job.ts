/** A job's dataset as packed rows, and those as the steps that the fleet trains. */
import { createHash } from "node:crypto";
import { readDataset } from "../../shared/data/dataset.ts";
import { countTrained } from "../../shared/data/example.ts";
import { linesOf, type PackedRow, packRows, rowLength, toMicroBatch } from "../../shared/data/packing.ts";
import type { Tokenizer } from "../../shared/data/tokenizer.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { type JobSpec, specHash } from "../../shared/job_spec.ts";
import { numbersOf } from "../../shared/messages.ts";
import type { ModelManifest } from "../../shared/model_manifest.ts";
import type { PlannedJob } from "../fleet.ts";
import { firstNumberOf, localPlanOf, outerCheckpointSteps, placeOfNumber } from "../local_plan.ts";
import { checkpointSteps, planShards, type ShardPlan } from "../shard_plan.ts";

export interface DatasetReport {
  /** Rows of the dataset that are trained on. */
  readonly exampleCount: number;
  /** Packed rows. */
  readonly rowCount: number;
  /** Tokens that go through the model in one epoch, and those of them that are predicted. */
  readonly tokenCount: number;
  readonly trainedTokenCount: number;
  readonly truncatedRowCount: number;
  /** Share of rowCount · max_seq_length that holds tokens. */
  readonly packingEfficiency: number;
  /** One sentence each. */
  readonly warnings: readonly string[];
}

export interface PreparedDataset {
  readonly rows: readonly PackedRow[];
  readonly report: DatasetReport;
  /** SHA-256 (hex) of the file. */
  readonly sha256: string;
}

export interface PrepareDatasetOptions {
  /** JSON lines. */
  readonly filePath: string;
  readonly spec: JobSpec;
  readonly tokenizer: Tokenizer;
  readonly signal?: AbortSignal;
}

/**
 * The same file, spec and tokenizer always give the same rows in the same order. Throws a `LoraFleetError` as
 * `readDataset` does, and `storage` where the file cannot be read.
 */
export async function prepareDataset(
  { filePath, spec, tokenizer, signal }: PrepareDatasetOptions,
): Promise<PreparedDataset> {
  const { dataset } = spec;
  const sha256 = await hashFile(filePath);
  const { examples, truncatedRowCount, warnings } = await readDataset(
    () => Promise.resolve(readFile(filePath)),
    dataset,
    tokenizer,
    signal,
  );
  const strategy = dataset.packing ? dataset.packing_strategy : "none";
  // A stretch of a "wrapped" stream may be all prompt: it has no gradient, and a step of such rows would have none.
  const rows = packRows(examples, strategy, dataset.max_seq_length)
    .filter((row) => row.documents.some((document) => countTrained(document) > 0));
  if (rows.length === 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      `packed into rows of ${dataset.max_seq_length} tokens, no row has a token to train; raise dataset.max_seq_length`,
      { param: "dataset.max_seq_length" },
    );
  }
  const tokenCount = rows.reduce((sum, row) => sum + rowLength(row), 0);
  const trainedTokenCount = rows.flatMap((row) => row.documents).reduce(
    (sum, example) => sum + countTrained(example),
    0,
  );
  return {
    rows,
    sha256,
    report: {
      exampleCount: examples.length,
      rowCount: rows.length,
      tokenCount,
      trainedTokenCount,
      truncatedRowCount,
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
  readonly rows: readonly PackedRow[];
  /** Of the dataset's file. */
  readonly datasetSha256: string;
}

/** Pure: the plan of a job is the same after every restart. */
export function planJob(options: PlanJobOptions): PlannedJob {
  const { id, spec, model, modelFolder, rows, datasetSha256 } = options;
  const { training } = spec;
  const plan = planShards({
    rowCount: rows.length,
    epochs: training.num_train_epochs,
    rowsPerMicroBatch: training.per_device_train_batch_size,
    microBatchesPerStep: training.gradient_accumulation_steps,
    seed: spec.seed,
    maxSteps: training.max_steps,
    shuffle: spec.dataset.shuffle,
  });
  const lengths = Uint32Array.from(rows, rowLength);
  const local = localPlanOf(spec, plan.totalSteps, (dataStep) => plan.microBatchesOf(dataStep).length);
  const saves = checkpointSteps(plan, training);
  return {
    id,
    spec,
    specHash: specHash(spec, { datasetSha256, modelHash: model.hash }),
    model,
    modelFolder,
    totalSteps: local?.totalSteps ?? plan.totalSteps,
    checkpointSteps: local === null ? saves : outerCheckpointSteps(saves, local),
    maxTokensPerMicroBatch: largestMicroBatch(plan, lengths),
    maxPositions: rows.flatMap((row) => row.documents).reduce(
      (max, { tokens }) => Math.max(max, tokens.length),
      0,
    ),
    epochsAfter: (step) => plan.epochsAfter(local?.dataStepsOf(step).last ?? step),
    microBatchesOf: (step) =>
      plan.microBatchesOf(step).map((indices) => toMicroBatch(indices.map((index) => rows[index]!))),
    linesOf: (step, index) => {
      const numbers = local === null
        ? [firstNumberOf(step, training) + index]
        : numbersOf(local.phasesOf(step)[index]!);
      return linesOf(numbers.flatMap((number) => {
        const { dataStep, index } = placeOfNumber(number, training);
        return plan.microBatchesOf(dataStep)[index]!.map((row) => rows[row]!);
      }));
    },
    local,
  };
}

/** The most tokens of any micro-batch that the plan holds: buffers are sized by it. */
function largestMicroBatch(plan: ShardPlan, lengths: Uint32Array): number {
  let largest = 0;
  for (let step = 1; step <= plan.totalSteps; step++) {
    for (const indices of plan.microBatchesOf(step)) {
      largest = Math.max(largest, indices.reduce((sum, index) => sum + lengths[index]!, 0));
    }
  }
  return largest;
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of readFile(path)) hash.update(chunk);
  return hash.digest("hex");
}

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  const unreadable = (cause: unknown) =>
    new LoraFleetError("storage", `cannot read the training file: ${messageOf(cause)}`, {
      param: "training_file",
      cause,
    });
  const file = await Deno.open(path).catch((cause) => {
    throw unreadable(cause);
  });
  try {
    for await (const chunk of file.readable) yield chunk;
  } catch (cause) {
    throw unreadable(cause);
  }
}
