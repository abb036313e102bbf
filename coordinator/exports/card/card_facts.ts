/** What a model card says about a job: its data, hyperparameters and losses. */
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import type { JobRecord } from "../../jobs/record/job.ts";
import type { ExportRequest } from "../record/export_request.ts";
import type { JobStore } from "../../jobs/stores/job_store.ts";

export interface Losses {
  /** Of the first and of the last step up to the export's. */
  readonly firstTrainLoss: number | null;
  readonly lastTrainLoss: number | null;
  /** The newest on the validation rows; null if they were not evaluated. */
  readonly evalLoss: number | null;
}

export interface CardInput {
  readonly job: JobRecord;
  readonly request: ExportRequest;
  /** A short name of the result, also of its files. */
  readonly name: string;
  readonly losses: Losses;
  /** The base model's id on the hub; null for a local folder. */
  readonly hubName: string | null;
  /** The name of the training file as it was uploaded; null if it is gone. */
  readonly trainingFilename: string | null;
}

const BATCH_SIZE = 1000;

/** The losses in a job's events. A step is committed again after a rollback; its newest event counts. */
export function lossesOf(store: Pick<JobStore, "eventsSince">, jobId: string, upToStep: number): Losses {
  const train = new Map<number, number>();
  let evalLoss: number | null = null;
  for (let newest = 0;;) {
    const events = store.eventsSince(jobId, newest, BATCH_SIZE);
    if (events.length === 0) break;
    newest = events.at(-1)!.number;
    for (const { type, data } of events) {
      if (type !== "metrics" || data === null) continue;
      const { step, train_loss: trainLoss, eval_loss: ofEval } = data;
      if (typeof step !== "number" || step > upToStep) continue;
      if (typeof trainLoss === "number") train.set(step, trainLoss);
      if (typeof ofEval === "number") evalLoss = ofEval;
    }
  }
  const steps = [...train.keys()].sort((a, b) => a - b);
  const at = (step: number | undefined) => step === undefined ? null : train.get(step)!;
  return { firstTrainLoss: at(steps[0]), lastTrainLoss: at(steps.at(-1)), evalLoss };
}

/** The rows of the table of hyperparameters. */
export function hyperparameters(
  { spec, totalSteps, trainedTokens }: Pick<JobRecord, "spec" | "totalSteps" | "trainedTokens">,
): readonly (readonly [name: string, value: unknown])[] {
  const { lora, quantization, training, dataset, seed } = spec;
  return [
    ["r", lora.r],
    ["lora_alpha", lora.lora_alpha],
    ["lora_dropout", lora.lora_dropout],
    ["use_rslora", lora.use_rslora],
    ["target_modules", lora.target_modules],
    ["bnb_4bit_quant_type", quantization.bnb_4bit_quant_type],
    ["bnb_4bit_use_double_quant", quantization.bnb_4bit_use_double_quant],
    ["learning_rate", training.learning_rate],
    ["lr_scheduler_type", training.lr_scheduler_type],
    ["warmup", warmupOf(training)],
    ["per_device_train_batch_size", training.per_device_train_batch_size],
    ["gradient_accumulation_steps", training.gradient_accumulation_steps],
    ["optim", training.optim],
    ["weight_decay", training.weight_decay],
    ["max_grad_norm", training.max_grad_norm],
    ["num_train_epochs", training.num_train_epochs],
    ["steps", totalSteps],
    ["tokens", trainedTokens],
    ["max_seq_length", dataset.max_seq_length],
    ["packing", dataset.packing],
    ["seed", seed],
  ];
}

function warmupOf({ warmup_steps: steps, warmup_ratio: ratio }: JobSpec["training"]): string {
  return steps > 0 ? `${steps} steps` : `${ratio} of the steps`;
}
