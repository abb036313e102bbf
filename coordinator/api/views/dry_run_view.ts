/** The answer to a dry run, and the query that asks for one. */
import { z } from "@hono/zod-openapi";
import type { DryRun, DryRunQuestion } from "../../estimate/dry_run_answer.ts";
import { EXPORT_KINDS } from "../../../shared/job/export_kinds.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { invalidInput } from "../transport/errors.ts";

const positive = z.coerce.number().positive().optional();

export const dryRunQuery = z.object({
  dry_run: z.enum(["true", "false"]).default("false").openapi({
    description: "true: check, prepare and plan the job without creating it",
  }),
  tokens_per_second: positive.openapi({
    description: "Of the whole fleet; default: as measured on this base model",
  }),
  workers: z.coerce.number().int().positive().optional().openapi({
    description: "That tokens_per_second is of; default: 1",
  }),
  price_per_hour: positive.openapi({ description: "Of one worker, for the cost" }),
  gpu_gib: positive.openapi({ description: "The memory of a card that the table of cards lacks" }),
});

const memorySchema = z.object({
  name: z.string(),
  available_bytes: z.int().nullable(),
  needed_bytes: z.int(),
  fits: z.boolean().nullable(),
  gradient_checkpointing: z.boolean(),
  kept_layers: z.int().nullable().openapi({
    description: "Layers that keep their activations: as many as fit; null if the memory is unknown",
  }),
  trained_layers: z.int(),
  planned_bytes: z.int().nullable(),
  host_bytes: z.int().openapi({
    description: "Main memory of the worker's process, beside a GPU with memory of its own",
  }),
  parts: z.array(z.object({ name: z.string(), bytes: z.int(), detail: z.string() })),
  advice: z.string().nullable(),
});

export const dryRunSchema = z.object({
  object: z.literal("fine_tuning.job.dry_run"),
  model: z.string(),
  training_file: z.string(),
  dataset: z.object({
    examples: z.int(),
    rows: z.int(),
    tokens: z.int(),
    trained_tokens: z.int(),
    trained_tokens_per_example: z.number(),
    truncated_rows: z.int(),
    longest_document: z.int(),
    packing_efficiency: z.number(),
  }).nullable().openapi({ description: "null if the base model's folder has no tokenizer" }),
  masks: z.array(z.object({
    line: z.int(),
    segments: z.array(z.object({ text: z.string(), trained: z.boolean(), weight: z.number().optional() })),
    hidden_tokens: z.int(),
  })).openapi({ description: "What is trained of the first rows" }),
  total_steps: z.int().nullable(),
  total_tokens: z.int().nullable(),
  memory: z.object({ workers: z.array(memorySchema), cards: z.array(memorySchema) }),
  time: z.object({
    tokens_per_second: z.number().nullable(),
    source: z.string(),
    workers: z.number().nullable(),
    seconds: z.number().nullable(),
    cost: z.number().nullable(),
  }),
  busy: z.object({
    workers: z.int(),
    items_per_step: z.int(),
    busy_share: z.number(),
    best: z.record(z.string(), z.int()),
    best_share: z.number(),
  }).nullable().openapi({
    description:
      "How much of the fleet a step keeps busy, and the values with which it is most; null without workers",
  }),
  exports: z.array(z.object({ kind: z.enum(EXPORT_KINDS), obstacle: z.string().nullable() })).openapi({
    description: "Forms in which the result can be had; obstacle: why one cannot",
  }),
  warnings: z.array(z.string()),
}).openapi("FineTuningJobDryRun");

/** Null if the request is to create the job. Throws `invalid_request`. */
export function dryRunQuestion(query: URLSearchParams): DryRunQuestion | null {
  const given = Object.fromEntries(query);
  const parsed = dryRunQuery.safeParse(given);
  if (!parsed.success) throw invalidInput(parsed.error, "query parameter", given);
  const { dry_run, ...asked } = parsed.data;
  const { tokens_per_second, workers, price_per_hour, gpu_gib } = asked;
  if (dry_run === "false") {
    assertNothingAsked(asked);
    return null;
  }
  if (workers !== undefined && tokens_per_second === undefined) {
    throw refused("workers", "belongs to tokens_per_second, which is missing: a measured speed has its own");
  }
  return {
    workers: workers ?? null,
    tokensPerSecond: tokens_per_second ?? null,
    pricePerHour: price_per_hour ?? null,
    gpuGib: gpu_gib ?? null,
  };
}

/** Who asks for a plan does not want a job. */
function assertNothingAsked(asked: Readonly<Record<string, number | undefined>>): void {
  const param = Object.keys(asked).find((name) => asked[name] !== undefined);
  if (param !== undefined) throw refused(param, "belongs to a dry run; dry_run=true is missing");
}

function refused(param: string, why: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `the query parameter ${param} ${why}`, { param });
}

export function dryRunView(dryRun: DryRun): { object: "fine_tuning.job.dry_run" } & DryRun {
  return { object: "fine_tuning.job.dry_run", ...dryRun };
}
