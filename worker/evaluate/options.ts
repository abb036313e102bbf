/** The command line of `worker/evaluate/main.ts`. */
import { parseArgs } from "node:util";
import type { Sampling } from "../model/generation/sampling.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

export const USAGE = `Usage: deno task evaluate --model <folder or id> --dataset <file> [options]

Measures how well a base model, with or without an adapter, predicts and generates the completions of a dataset.
Answers are greedy unless --temperature is above 0.

  --model <folder>        base model in Hugging Face layout, or the id of one that the hub's cache holds
  --adapter <folder>      LoRA adapter as PEFT writes it            (none: the base model alone)
  --dataset <file>        JSONL, JSON, CSV or Parquet of {"prompt", "completion"}, {"instruction", "input", "output"}, {"messages"} or {"text"}
  --text-field <name>     the field of plain text                   (text)
  --max-new-tokens <n>    longest answer, in tokens; 0: no answers  (64)
  --full-precision        compute with the weights as they are stored, in f32: for a merged model  (quantised to NF4)
  --drift <folder>        a merged model: how far its logits are from those of --model with --adapter
  --side-by-side          print the answers of the base model and of the tuned one beside each other; needs --adapter
  --temperature <t>       choose each token by chance; 0: the most likely one  (0)
  --top-p <p>             among the most likely ones with this probability  (1)
  --top-k <k>             among the k most likely ones; 0: all      (0)
  --seed <n>              of the choice; the same seed gives the same answers  (42)
  --single-quantization   NF4 without double quantisation           (with it, as jobs by default)
  --allow-cpu             compute on the CPU if this machine has no GPU
  --ignore-gpu            with --allow-cpu: even if it has one
  --json <file>           write the result to it                    (standard output)
  --help
`;

const MAX_NEW_TOKENS = 32_768;

export interface EvaluateOptions {
  /** A folder, or an id on the hub. */
  readonly model: string;
  readonly adapterFolder: string | null;
  readonly datasetPath: string;
  readonly textField: string;
  /** 0: generate no answers. */
  readonly maxNewTokens: number;
  readonly doubleQuantization: boolean;
  readonly allowCpu: boolean;
  readonly ignoreGpu: boolean;
  /** Weights as stored, in f32, instead of NF4. */
  readonly fullPrecision: boolean;
  /** A merged model to compare with; null: none. */
  readonly driftFolder: string | null;
  /** Null: greedy answers. */
  readonly sampling: Sampling | null;
  /** Print the answers of both models. */
  readonly sideBySide: boolean;
  /** Null: standard output. */
  readonly resultPath: string | null;
}

/**
 * @returns null for --help
 * @throws LoraFleetError `usage`; `param` is the option
 */
export function parseEvaluateOptions(args: readonly string[]): EvaluateOptions | null {
  const values = readArguments(args);
  if (values.help === true) return null;
  const required = (option: "model" | "dataset"): string => {
    const value = values[option];
    if (value !== undefined && value !== "") return value;
    throw new LoraFleetError("usage", `--${option} is missing`, { param: option });
  };
  for (const option of ["side-by-side", "drift"] as const) {
    if (values[option] === undefined || values.adapter !== undefined) continue;
    const message = `--${option} compares with the tuned model: --adapter is missing`;
    throw new LoraFleetError("usage", message, { param: "adapter" });
  }
  return {
    model: required("model"),
    adapterFolder: values.adapter ?? null,
    datasetPath: required("dataset"),
    textField: values["text-field"] ?? "text",
    maxNewTokens: countOf(values["max-new-tokens"] ?? "64"),
    doubleQuantization: values["single-quantization"] !== true,
    allowCpu: values["allow-cpu"] === true,
    ignoreGpu: values["ignore-gpu"] === true,
    fullPrecision: values["full-precision"] === true,
    driftFolder: values.drift ?? null,
    sampling: samplingOf(values),
    sideBySide: values["side-by-side"] === true,
    resultPath: values.json ?? null,
  };
}

/** @throws LoraFleetError `usage` for a value out of range, and for one that has no effect on greedy answers */
function samplingOf(values: ReturnType<typeof readArguments>): Sampling | null {
  const temperature = numberOf("temperature", values.temperature ?? "0", 0, 100);
  const topP = numberOf("top-p", values["top-p"] ?? "1", 0, 1);
  const topK = numberOf("top-k", values["top-k"] ?? "0", 0, 1e9, true);
  const seed = numberOf("seed", values.seed ?? "42", 0, 2 ** 32 - 1, true);
  if (temperature > 0) return { temperature, topP, topK, seed };
  const useless = (["top-p", "top-k", "seed"] as const).find((option) => values[option] !== undefined);
  if (useless === undefined) return null;
  const message = `--${useless} has no effect on greedy answers; set --temperature above 0 with it`;
  throw new LoraFleetError("usage", message, { param: useless });
}

function numberOf(option: string, text: string, min: number, max: number, isWhole = false): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (value >= min && value <= max && (!isWhole || Number.isInteger(value))) return value;
  const kind = isWhole ? "whole number" : "number";
  throw new LoraFleetError(
    "usage",
    `--${option} is ${quote(text)}; a ${kind} from ${min} to ${max} is needed`,
    { param: option },
  );
}

function readArguments(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        "model": text,
        "adapter": text,
        "dataset": text,
        "text-field": text,
        "max-new-tokens": text,
        "full-precision": flag,
        "drift": text,
        "side-by-side": flag,
        "temperature": text,
        "top-p": text,
        "top-k": text,
        "seed": text,
        "single-quantization": flag,
        "allow-cpu": flag,
        "ignore-gpu": flag,
        "json": text,
        "help": { type: "boolean", short: "h" },
      },
    }).values;
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

function countOf(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : -1;
  if (value >= 0 && value <= MAX_NEW_TOKENS) return value;
  const message = `--max-new-tokens is ${quote(text)}; a whole number from 0 to ${MAX_NEW_TOKENS} is needed`;
  throw new LoraFleetError("usage", message, { param: "max-new-tokens" });
}
