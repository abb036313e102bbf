/** The command line of `deno task train` and `deno task plan`. */
import { parseArgs } from "node:util";
import { resolve } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { TRACKER_OPTIONS, type TrackerFlags, trackerFlags } from "./tracker_flags.ts";
import { EXPORT_KINDS, type ExportKind } from "../../shared/job/export_kinds.ts";

export const TRAIN_USAGE = `Usage: deno task train --model <model> --data <data> --out <folder> [options]

Fine-tunes a model with QLoRA. Starts what is missing, a coordinator and a worker on this machine's GPU, or uses a running
coordinator. Ctrl-C interrupts; the same command again resumes.

  --model <model>         a folder in Hugging Face layout, or a hub id: org/name[@revision]
  --data <data>           a file of rows, or a dataset on the hub: org/name[@revision]
  --split <slice>         which rows: train, train[:10%], train[100:200]   (train)
  --validation <file>     rows that are evaluated while training, and answered by base and tuned model at the end
  --config <file>         YAML or JSON with the job's fields: lora, quantization, training, dataset, …
  --set <field=value>     one of these fields, such as training.learning_rate=1e-4; may be given several times
  --steps <n>             maximum number of steps
  --export <kinds>        further results, with commas between: merged, gguf, adapter_gguf, adapter
  --push <repo>           a repository on the hub for the first of them, or for the adapter; private if it is new
  --out <folder>          folder for the results
  --report-to <trackers>  tensorboard, mlflow, wandb, jsonl, with commas between: shows the run there
  --run-name <name>       the run's name at the trackers
  --logging-dir <folder>  below the folder of event files, which is <out>/runs
  --project, --entity, --tags: of the run at Weights & Biases; tags have commas between
  --workers <n>           workers to start on this machine                 (1)
  --join-existing <url>   a running coordinator; its key is LORAFLEET_API_KEY
  --fresh                 forget an interrupted or failed run into the same folder
  --resume                go on from the checkpoint of a failed run with different settings
  --ignore-gpu            compute on the CPU although this machine has a GPU
  --help
`;

export const PLAN_USAGE = `Usage: deno task plan --model <model> --data <data> [options]

Says whether a fine-tune fits, how long it takes and what it costs. Trains nothing.

  --model, --data, --split, --validation, --config, --set, --steps, --join-existing: as for deno task train
  --gpu-gib <n>           memory of a GPU that is not in the table
  --tokens-per-second <n> speed of the whole fleet            (as measured by an earlier job on this base model)
  --workers <n>           workers that have this speed together            (1)
  --price <n>             price of one worker's hour
  --help
`;

/** What both commands take. */
export interface JobOptions {
  readonly model: string;
  readonly data: string;
  /** Null: as the configuration says. */
  readonly split: string | null;
  readonly validationPath: string | null;
  readonly configPath: string | null;
  /** `field=value`, unparsed. */
  readonly settings: readonly string[];
  readonly maxSteps: number | null;
  /** Null: start a coordinator. */
  readonly coordinatorUrl: string | null;
}

export interface TrainOptions extends JobOptions {
  readonly outFolder: string;
  readonly exports: readonly ExportKind[];
  /** Null: nothing is pushed. */
  readonly pushTo: string | null;
  readonly workerCount: number;
  readonly trackers: TrackerFlags;
  readonly isFresh: boolean;
  /** Go on from the checkpoint of a failed run, though its command was a different one. */
  readonly isResumed: boolean;
  readonly ignoreGpu: boolean;
}

export interface PlanOptions extends JobOptions {
  readonly gpuGib: number | null;
  readonly tokensPerSecond: number | null;
  /** Null: one, if a speed is given. */
  readonly workerCount: number | null;
  readonly price: number | null;
}

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const JOB = {
  "model": text,
  "data": text,
  "split": text,
  "validation": text,
  "config": text,
  "set": { type: "string", multiple: true },
  "steps": text,
  "join-existing": text,
  "help": { type: "boolean", short: "h" },
} as const;
const TRAIN = {
  ...JOB,
  "out": text,
  "export": text,
  "push": text,
  "workers": text,
  ...TRACKER_OPTIONS,
  "fresh": flag,
  "resume": flag,
  "ignore-gpu": flag,
} as const;
const PLAN = { ...JOB, "gpu-gib": text, "tokens-per-second": text, "workers": text, "price": text } as const;

/** Null for --help. Throws `usage`. */
export function parseTrainOptions(args: readonly string[]): TrainOptions | null {
  const values = usage(() => parseArgs({ args: [...args], options: TRAIN }).values);
  if (values.help === true) return null;
  const job = jobOptions(values);
  if (values.out === undefined || values.out === "") throw missing("out");
  if (values.fresh === true && values.resume === true) {
    throw new LoraFleetError("usage", "--fresh and --resume contradict each other; give one of them", {
      param: "resume",
    });
  }
  return {
    ...job,
    outFolder: resolve(values.out),
    exports: exportKinds(values.export ?? ""),
    pushTo: values.push || null,
    workerCount: numberOf("workers", values.workers, { isWhole: true, max: 64 }) ?? 1,
    trackers: trackerFlags(values),
    isFresh: values.fresh === true,
    isResumed: values.resume === true,
    ignoreGpu: values["ignore-gpu"] === true,
  };
}

/** A wrong one is found here: after the training it would be too late. */
function exportKinds(given: string): ExportKind[] {
  const names = given.split(",").map((name) => name.trim()).filter((name) => name !== "");
  return [...new Set(names)].map((name) => {
    const kind = EXPORT_KINDS.find((known) => known === name);
    if (kind !== undefined) return kind;
    const message = `--export has ${quote(name)}; there are ${EXPORT_KINDS.join(", ")}`;
    throw new LoraFleetError("usage", message, { param: "export" });
  });
}

/** Null for --help. Throws `usage`. */
export function parsePlanOptions(args: readonly string[]): PlanOptions | null {
  const values = usage(() => parseArgs({ args: [...args], options: PLAN }).values);
  if (values.help === true) return null;
  return {
    ...jobOptions(values),
    gpuGib: numberOf("gpu-gib", values["gpu-gib"], { max: 100_000 }),
    tokensPerSecond: numberOf("tokens-per-second", values["tokens-per-second"], { max: 1e12 }),
    workerCount: numberOf("workers", values.workers, { isWhole: true, max: 1e6 }),
    price: numberOf("price", values.price, { max: 1e9 }),
  };
}

type JobValues = { readonly [N in Exclude<keyof typeof JOB, "set" | "help">]?: string } & {
  readonly set?: string[];
};

function jobOptions(values: JobValues): JobOptions {
  const { model, data, split, validation, config, set = [], steps } = values;
  if (model === undefined || model === "") throw missing("model");
  if (data === undefined || data === "") throw missing("data");
  return {
    model,
    data,
    split: split ?? null,
    validationPath: validation === undefined ? null : resolve(validation),
    configPath: config === undefined ? null : resolve(config),
    settings: set,
    maxSteps: numberOf("steps", steps, { isWhole: true, max: 1_000_000 }),
    coordinatorUrl: values["join-existing"] === undefined ? null : originOf(values["join-existing"]),
  };
}

function originOf(given: string): string {
  const url = URL.parse(given);
  if (url !== null && ["http:", "https:"].includes(url.protocol)) {
    return url.origin + url.pathname.replace(/\/$/, "");
  }
  const message = `--join-existing is ${
    quote(given)
  }; the URL of a coordinator is needed, such as http://127.0.0.1:8787`;
  throw new LoraFleetError("usage", message, { param: "join-existing" });
}

function numberOf(
  option: string,
  given: string | undefined,
  { isWhole = false, max }: { readonly isWhole?: boolean; readonly max: number },
): number | null {
  if (given === undefined) return null;
  const value = given.trim() === "" ? NaN : Number(given);
  if (value > 0 && value <= max && (!isWhole || Number.isInteger(value))) return value;
  const kind = isWhole ? "whole number from 1" : "number above 0 and up";
  throw new LoraFleetError("usage", `--${option} is ${quote(given)}; a ${kind} to ${max} is needed`, {
    param: option,
  });
}

function missing(option: string): LoraFleetError {
  return new LoraFleetError("usage", `--${option} is missing`, { param: option });
}

function usage<T>(parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}
