/** The command line of `worker/evaluate/main.ts`. */
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

export const USAGE = `Usage: deno task evaluate --model <folder> --dataset <file> [options]

Measures how well a base model, with or without an adapter, predicts and generates the completions of a dataset.

  --model <folder>        base model in Hugging Face layout
  --adapter <folder>      LoRA adapter as PEFT writes it            (none: the base model alone)
  --dataset <file>        JSONL of {"prompt", "completion"}, {"instruction", "input", "output"}, {"messages"} or {"text"}
  --text-field <name>     the field of plain text                   (text)
  --max-new-tokens <n>    longest answer, in tokens; 0: no answers  (64)
  --single-quantization   NF4 without double quantisation           (with it, as jobs by default)
  --allow-cpu             compute on the CPU if this machine has no GPU
  --ignore-gpu            with --allow-cpu: even if it has one
  --json <file>           write the result to it                    (standard output)
  --help
`;

const MAX_NEW_TOKENS = 32_768;

export interface EvaluateOptions {
  readonly modelFolder: string;
  readonly adapterFolder: string | null;
  readonly datasetPath: string;
  readonly textField: string;
  /** 0: generate no answers. */
  readonly maxNewTokens: number;
  readonly doubleQuantization: boolean;
  readonly allowCpu: boolean;
  readonly ignoreGpu: boolean;
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
  return {
    modelFolder: required("model"),
    adapterFolder: values.adapter ?? null,
    datasetPath: required("dataset"),
    textField: values["text-field"] ?? "text",
    maxNewTokens: countOf(values["max-new-tokens"] ?? "64"),
    doubleQuantization: values["single-quantization"] !== true,
    allowCpu: values["allow-cpu"] === true,
    ignoreGpu: values["ignore-gpu"] === true,
    resultPath: values.json ?? null,
  };
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
