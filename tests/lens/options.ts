/** The command line of `deno task lens`. */
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote, usage } from "../../shared/errors.ts";
import { loraSchema, type LoraSpec } from "../../shared/job/job_spec_schema.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import { type LensCard, lensCard, memoryOf } from "./cards.ts";
import { modelNamed } from "./models.ts";
import type { StepOptions } from "./step.ts";

export interface LensOptions extends StepOptions {
  readonly model: string;
  readonly spec: TransformerSpec;
  readonly card: LensCard;
  /** What the card may give was on the command line. */
  readonly isBudgetGiven: boolean;
  readonly show: Show;
  readonly json: boolean;
}

/**
 * - `step`, `kernels`: the report, and with each kernel variant and shape
 * - `cards`: the step on each card
 * - `isa`: what RADV makes of the kernels
 * - `shares`: writes what predictions need of that
 */
export type Show = "step" | "kernels" | "cards" | "isa" | "shares";

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const OPTIONS = {
  model: text,
  card: text,
  "lora-r": text,
  "lora-dropout": text,
  "target-modules": text,
  tokens: text,
  documents: text,
  labels: text,
  "micro-batches": text,
  "memory-budget-mib": text,
  "gradient-checkpointing": flag,
  "no-gradient-checkpointing": flag,
  "no-double-quant": flag,
  "neftune-noise-alpha": text,
  "label-smoothing-factor": text,
  kernels: flag,
  isa: flag,
  "write-shares": flag,
  json: flag,
} as const;
type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"];

/** @throws LoraFleetError `usage`, `invalid_model`, `invalid_request` */
export function parseLensOptions(args: readonly string[]): LensOptions {
  const values = parse(args);
  if (values["gradient-checkpointing"] && values["no-gradient-checkpointing"]) {
    throw usage(
      "gradient-checkpointing",
      "--gradient-checkpointing and --no-gradient-checkpointing exclude each other",
    );
  }
  const model = values.model ?? "llama2-7b";
  const card = lensCard(values.card === "all" ? "rtx3090" : values.card ?? "rtx3090");
  const tokens = wholeNumber("tokens", values.tokens ?? "2048");
  const documents = wholeNumber("documents", values.documents ?? "1");
  if (documents > tokens) {
    throw usage(
      "documents",
      `--documents is ${documents}; a micro-batch of ${tokens} tokens holds at most as many`,
    );
  }
  const budget = values["memory-budget-mib"];
  return {
    model,
    spec: modelNamed(model),
    card,
    lora: loraOf(values),
    tokens,
    documents,
    labelShare: share("labels", values.labels ?? "1", (value) => value > 0 && value <= 1),
    microBatches: wholeNumber("micro-batches", values["micro-batches"] ?? "1"),
    doubleQuantization: !values["no-double-quant"],
    gradientCheckpointing: values["gradient-checkpointing"]
      ? true
      : values["no-gradient-checkpointing"]
      ? false
      : "where needed",
    memoryBytes: budget === undefined ? memoryOf(card) : budgetOf(budget),
    regularisation: {
      noiseAlpha: share("neftune-noise-alpha", values["neftune-noise-alpha"] ?? "0", (value) => value >= 0),
      labelSmoothing: share(
        "label-smoothing-factor",
        values["label-smoothing-factor"] ?? "0",
        (value) => value < 1,
      ),
    },
    isBudgetGiven: budget !== undefined,
    show: showOf(values),
    json: values.json ?? false,
  };
}

function parse(args: readonly string[]): Values {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (cause) {
    throw new LoraFleetError("usage", `${messageOf(cause)}; deno task lens --help lists the options`, {
      cause,
    });
  }
}

function budgetOf(given: string): number | null {
  if (given === "none") return null;
  if (/^[1-9]\d{0,8}$/.test(given)) return Number(given) * 2 ** 20;
  throw usage(
    "memory-budget-mib",
    `--memory-budget-mib is ${quote(given)}; a whole number above 0 or "none" is needed`,
  );
}

function showOf(values: Values): Show {
  const wanted: readonly (readonly [Show, string, boolean | undefined])[] = [
    ["cards", "--card all", values.card === "all"],
    ["kernels", "--kernels", values.kernels],
    ["isa", "--isa", values.isa],
    ["shares", "--write-shares", values["write-shares"]],
  ];
  const given = wanted.filter(([, , isGiven]) => isGiven);
  if (given.length > 1) {
    const names = given.map(([, name]) => name);
    throw usage("show", `${names.join(" and ")} are different reports; give one of them`);
  }
  const show = given[0]?.[0] ?? "step";
  if (show === "shares" && values.json) {
    throw usage("json", "--write-shares prints nothing; leave --json out");
  }
  return show;
}

function loraOf(values: Values): LoraSpec {
  const targets = values["target-modules"] ?? "all-linear";
  return loraSchema.parse({
    r: wholeNumber("lora-r", values["lora-r"] ?? "64"),
    lora_dropout: share("lora-dropout", values["lora-dropout"] ?? "0.1", (value) => value >= 0 && value < 1),
    target_modules: targets === "all-linear" ? targets : targets.split(","),
  });
}

function wholeNumber(option: string, given: string): number {
  if (/^[1-9]\d{0,8}$/.test(given)) return Number(given);
  throw usage(option, `--${option} is ${quote(given)}; a whole number above 0 is needed`);
}

const RANGES: Readonly<Record<string, string>> = {
  "labels": "above 0 and at most 1",
  "neftune-noise-alpha": "of at least 0",
};

function share(option: string, given: string, holds: (value: number) => boolean): number {
  if (/^\d*\.?\d+$/.test(given) && holds(Number(given))) return Number(given);
  const range = RANGES[option] ?? "from 0 to below 1";
  throw usage(option, `--${option} is ${quote(given)}; a number ${range} is needed`);
}
