/** A dry run as text for the terminal. */
import { z } from "zod";
import { padTo, visible } from "../terminal/cells.ts";
import { formatDuration } from "../terminal/progress.ts";

const memorySchema = z.object({
  name: z.string(),
  available_bytes: z.number().nullable(),
  needed_bytes: z.number(),
  fits: z.boolean().nullable(),
  kept_layers: z.number().nullish(),
  trained_layers: z.number().nullish(),
  host_bytes: z.number().nullish(),
  advice: z.string().nullable(),
});

export const planSchema = z.object({
  model: z.string(),
  dataset: z.object({
    examples: z.number(),
    rows: z.number(),
    tokens: z.number(),
    trained_tokens: z.number(),
    trained_tokens_per_example: z.number(),
    truncated_rows: z.number(),
    longest_document: z.number(),
  }).nullable(),
  masks: z.array(z.object({
    line: z.number(),
    segments: z.array(z.object({ text: z.string(), trained: z.boolean(), weight: z.number().optional() })),
    hidden_tokens: z.number(),
  })),
  total_steps: z.number().nullable(),
  total_tokens: z.number().nullable(),
  memory: z.object({ workers: z.array(memorySchema), cards: z.array(memorySchema) }),
  time: z.object({
    tokens_per_second: z.number().nullable(),
    source: z.string(),
    workers: z.number().nullable(),
    seconds: z.number().nullable(),
    cost: z.number().nullable(),
  }),
  /** Coordinators of earlier versions do not say it. */
  busy: z.object({
    workers: z.number(),
    items_per_step: z.number(),
    busy_share: z.number(),
    best: z.record(z.string(), z.number()),
    best_share: z.number(),
  }).nullable().default(null),
  /** The same. */
  exports: z.array(z.object({ kind: z.string(), obstacle: z.string().nullable() })).default([]),
  warnings: z.array(z.string()),
});
export type Plan = z.output<typeof planSchema>;

export function formatPlan(plan: Plan): string {
  return [
    dataLines(plan),
    maskLines(plan),
    memoryLines(plan),
    [...timeLines(plan), ...busyLines(plan)],
    exportLines(plan),
    plan.warnings.map((text) => `warning: ${text}`),
  ]
    .filter((lines) => lines.length > 0).map((lines) => lines.join("\n")).join("\n\n");
}

function dataLines({ model, dataset, total_steps, total_tokens }: Plan): string[] {
  if (dataset === null) {
    const length = total_steps === null
      ? "steps unknown"
      : `${total_steps} steps, at most ${total_tokens} tokens`;
    return [`${model}: ${length}`];
  }
  const share = (100 * dataset.trained_tokens / dataset.tokens).toFixed(1);
  return [
    `${model}: ${total_steps} steps, ${total_tokens} tokens`,
    `${dataset.examples} examples in ${dataset.rows} packed rows, the longest of ${dataset.longest_document} tokens, ` +
    `${dataset.truncated_rows} truncated`,
    `an epoch has ${dataset.tokens} tokens, ${share} % of them trained (${
      dataset.trained_tokens_per_example.toFixed(1)
    } for each example)`,
  ];
}

/** What is trained stands in brackets, and behind them what its tokens count if that is not 1. */
function maskLines({ masks }: Plan): string[] {
  const lines = masks.map(({ line, segments, hidden_tokens }) => {
    const text = segments.map(({ text, trained, weight }) =>
      trained ? `⟦${text}⟧${weight === undefined ? "" : `×${weight}`}` : text
    ).join("");
    const rest = hidden_tokens > 0 ? ` … ${hidden_tokens} more tokens` : "";
    return `  line ${line}: ${visible(text)}${rest}`;
  });
  return lines.length === 0 ? [] : ["the first rows; ⟦trained⟧:", ...lines];
}

function memoryLines({ memory: { workers, cards } }: Plan): string[] {
  const size = (bytes: number) =>
    bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const lines = [...workers, ...cards].map((memory) => {
    const { name, available_bytes, needed_bytes, fits, advice } = memory;
    const of = available_bytes === null ? "memory unknown" : `of ${size(available_bytes)}`;
    const verdict = fits === null ? "" : fits ? `  fits${keptLayers(memory)}` : `  does not fit: ${advice}`;
    return `  ${padTo(visible(name), 24)} ${size(needed_bytes).padStart(9)} ${of}${verdict}`;
  });
  const host = cards[0]?.host_bytes ?? null;
  return [
    "GPU memory:",
    ...lines,
    ...host === null ? [] : [`main memory of a worker: ${size(host)} beside a GPU with memory of its own`],
  ];
}

/** How much of the rest goes into activations, which saves time; of an older coordinator nothing. */
function keptLayers(
  { kept_layers: kept, trained_layers: trained }: Plan["memory"]["cards"][number],
): string {
  if (kept === null || kept === undefined || trained === null || trained === undefined) return "";
  return kept === trained
    ? ", computes nothing twice"
    : `, computes ${trained - kept} of ${trained} layers twice`;
}

function exportLines({ exports }: Plan): string[] {
  const possible = exports.filter(({ obstacle }) => obstacle === null).map(({ kind }) => kind);
  return exports.length === 0 ? [] : [
    `exports: ${possible.join(", ")}`,
    ...exports.flatMap(({ kind, obstacle }) => obstacle === null ? [] : [`  not ${kind}: ${obstacle}`]),
  ];
}

function timeLines({ time: { tokens_per_second, source, workers, seconds, cost } }: Plan): string[] {
  if (seconds === null || tokens_per_second === null) return [`time: unknown; ${source}`];
  const price = cost === null ? "" : `, ${cost.toFixed(2)} at the given price`;
  const fleet = workers === 1 ? "" : ` of ${workers} workers`;
  return [
    `time: ${formatDuration(seconds)} at ${
      Math.round(tokens_per_second)
    } tokens/s${fleet} (${source})${price}`,
  ];
}

function busyLines({ busy }: Plan): string[] {
  if (busy === null || busy.workers === 1) return [];
  const { workers, items_per_step, busy_share, best, best_share } = busy;
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  const values = Object.entries(best).map(([path, value]) => `${path} ${value}`).join(", ");
  const better = best_share > busy_share ? `; best: ${values} (${percent(best_share)})` : "";
  return [`a step of ${items_per_step} keeps ${percent(busy_share)} of ${workers} workers busy${better}`];
}
