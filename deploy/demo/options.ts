/** The demo's command line, and the job that it stands for. */
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
  --steps <n>             stop after so many steps               (40; with a dataset of your own: three epochs)
  --out <folder>          where the results go                   (demo-out)
  --ignore-gpu            compute on the CPU although this machine has a GPU
  --help
`;

const assets = join(dirname(fromFileUrl(import.meta.url)), "assets");

export interface DemoOptions {
  readonly modelFolder: string;
  readonly datasetPath: string;
  /** Null: rows of the dataset are set aside. */
  readonly evalDatasetPath: string | null;
  readonly workerCount: number;
  /** Null: no limit but the epochs. */
  readonly maxSteps: number | null;
  readonly outFolder: string;
  readonly ignoreGpu: boolean;
  /** Whether model and dataset are the demo's, whose hyperparameters we know. */
  readonly ownModel: boolean;
  readonly ownDataset: boolean;
}

/**
 * Reads the command line; null where help is asked for.
 * @throws LoraFleetError `usage`
 */
export function parseOptions(args: readonly string[]): DemoOptions | null {
  const values = readArguments(args);
  if (values.help === true) return null;
  const ownDataset = values.dataset !== undefined;
  if (!ownDataset && values["eval-dataset"] !== undefined) {
    throw new LoraFleetError(
      "usage",
      "--eval-dataset needs --dataset: the demo's own dataset has its own held-out rows",
    );
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
 * The body of `POST /v1/fine_tuning/jobs`. The demo's tiny model bears a learning rate that a large one would not: for
 * a model of the user's own the usual values of QLoRA hold. A dataset of the user's own may be small: its rows are not packed,
 * so that a step is eight of them, where eight packed rows could hold an epoch and three epochs would be nine updates.
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

/** Longest answer that the evaluation waits for, in tokens. */
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
  throw new LoraFleetError(
    "usage",
    `--${option} is ${quote(text)}; a whole number from 1 to ${max} is needed`,
    {
      param: option,
    },
  );
}
