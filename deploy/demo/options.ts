/** The demo's command line, and the job request that it results in. */
import { parseArgs } from "node:util";
import { dirname, fromFileUrl, join, resolve } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

export const USAGE = `Usage: deno task demo [options]

Starts a coordinator and workers on this machine, fine-tunes a model over HTTP as any client would, compares base and
tuned model on held-out prompts, and writes the adapter and a report.

  --model <folder>        base model in Hugging Face layout      (a tiny Llama of the demo)
  --dataset <file>        JSONL of {"prompt", "completion"},     (spelling instructions)
                          {"instruction", "input", "output"} or,
                          with a chat model, {"messages"}
  --eval-dataset <file>   held-out rows of the same form         (with --dataset: every tenth row, at most 200)
  --workers <n>           workers to start                       (2)
  --steps <n>             maximum number of steps                (40; with --dataset: three epochs)
  --out <folder>          folder for the results                 (demo-out)
  --ignore-gpu            compute on the CPU although this machine has a GPU
  --help
`;

const assets = join(dirname(fromFileUrl(import.meta.url)), "assets");

export interface DemoOptions {
  readonly modelFolder: string;
  readonly datasetPath: string;
  /** Null: some rows of the dataset are held out. */
  readonly evalDatasetPath: string | null;
  readonly workerCount: number;
  /** Null: limited by the epochs only. */
  readonly maxSteps: number | null;
  readonly outFolder: string;
  readonly ignoreGpu: boolean;
  /** Whether the user brings the model, and the dataset; for the demo's own the hyperparameters are known. */
  readonly ownModel: boolean;
  readonly ownDataset: boolean;
}

/** Reads the command line; null for --help. Throws `usage`. */
export function parseOptions(args: readonly string[]): DemoOptions | null {
  const values = readArguments(args);
  if (values.help === true) return null;
  const ownDataset = values.dataset !== undefined;
  if (!ownDataset && values["eval-dataset"] !== undefined) {
    const message = "--eval-dataset needs --dataset: the demo's own dataset has its own held-out rows";
    throw new LoraFleetError("usage", message);
  }
  const steps = values.steps === undefined ? null : positiveInteger(values.steps, "steps", 1_000_000);
  return {
    modelFolder: resolve(values.model ?? join(assets, "base")),
    datasetPath: resolve(values.dataset ?? join(assets, "train.jsonl")),
    evalDatasetPath: ownDataset
      ? values["eval-dataset"] === undefined ? null : resolve(values["eval-dataset"])
      : join(assets, "held_out.jsonl"),
    workerCount: positiveInteger(values.workers ?? "2", "workers", 64),
    maxSteps: steps ?? (ownDataset ? null : 40),
    outFolder: resolve(values.out ?? "demo-out"),
    ignoreGpu: values["ignore-gpu"] === true,
    ownModel: values.model !== undefined,
    ownDataset,
  };
}

/**
 * The body of `POST /v1/fine_tuning/jobs`. The demo's tiny model tolerates a learning rate that a large one would not; a model
 * of the user's own gets the usual values of QLoRA. A dataset of the user's own may be small, so its rows are not packed and a
 * step takes eight of them; eight packed rows could hold a whole epoch, and three epochs would be very few updates.
 */
export function jobRequest(options: DemoOptions, trainingFileId: string): Record<string, unknown> {
  const { ownModel, ownDataset, maxSteps } = options;
  return {
    model: options.modelFolder,
    training_file: trainingFileId,
    seed: 42,
    lora: ownModel
      ? { r: 16, lora_alpha: 32, target_modules: "all-linear" }
      : { r: 8, lora_alpha: 16, target_modules: "all-linear" },
    quantization: { load_in_4bit: true, bnb_4bit_quant_type: "nf4", bnb_4bit_use_double_quant: true },
    training: {
      num_train_epochs: 3,
      max_steps: maxSteps ?? -1,
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 8,
      learning_rate: ownModel ? 2e-4 : 1e-2,
      lr_scheduler_type: "cosine",
      warmup_ratio: 0.05,
      max_grad_norm: 1,
      optim: "adamw_bnb_32bit",
      save_strategy: "no",
      logging_steps: 1,
    },
    dataset: {
      max_seq_length: ownModel ? 1024 : ownDataset ? 512 : 256,
      packing: !ownDataset,
      packing_strategy: "bfd",
    },
  };
}

/** Maximum length of an answer in the evaluation, in tokens. */
export function maxNewTokens(options: DemoOptions): number {
  return options.ownDataset ? 64 : 12;
}

function readArguments(args: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        model: text,
        dataset: text,
        "eval-dataset": text,
        workers: text,
        steps: text,
        out: text,
        "ignore-gpu": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

function positiveInteger(text: string, option: string, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= max) return value;
  const message = `--${option} is ${quote(text)}; a whole number from 1 to ${max} is needed`;
  throw new LoraFleetError("usage", message, { param: option });
}
