/** What `deno task lens` prints. */
import { guessedShares } from "./isa/fma_shares.ts";
import { variantsOf } from "./isa/isa_report.ts";
import type { LensOptions } from "./options.ts";
import { kernelLines, listKernels } from "./kernel_list.ts";
import type { StepRecord } from "./step.ts";
import { type StepSummary, summarize, type Totals } from "./summary.ts";

const GIB = 2 ** 30;
const WIDTHS = [26, 11, 12, 10, 10, 10, 8];

const line = (first: string, cells: readonly string[]) =>
  [first.padEnd(WIDTHS[0]!), ...cells.map((cell, i) => cell.padStart(WIDTHS[i + 1]!))].join("").trimEnd();

function row(name: string, { dispatches, workgroups, flops, bytes, seconds }: Totals, whole: number): string {
  const numbers = [(flops / 1e12).toFixed(3), (bytes / 1e9).toFixed(2), (1000 * seconds).toFixed(1)];
  const share = `${(100 * seconds / whole).toFixed(1)}%`;
  return line(name, [String(dispatches), String(workgroups), ...numbers, share]);
}

function heading(
  { model, card, tokens, documents, microBatches, lora }: LensOptions,
  parameters: number,
): string {
  const batches = `${microBatches} × ${tokens} tokens${documents === 1 ? "" : ` in ${documents} documents`}`;
  const adapter = `LoRA r ${lora.r} (${
    (parameters / 1e6).toFixed(1)
  }M parameters), dropout ${lora.lora_dropout}`;
  return `${model} on ${card.name}: ${batches}, ${adapter}`;
}

/** The table, for people. */
export function reportText(options: LensOptions, record: StepRecord): string {
  const summary = summarize(record, options.card);
  const { kinds, submits, longestSubmitSeconds, firstSubmits, longestFirstSubmitSeconds, stepSeconds } =
    summary;
  const rate = (summary.flops / stepSeconds / 1e12).toFixed(1);
  return [
    heading(options, record.loraParameters),
    "",
    record.planText,
    options.memoryBytes === null
      ? "  without a budget"
      : `  of ${(options.memoryBytes / GIB).toFixed(2)} GiB`,
    "",
    line("kernels", ["dispatches", "workgroups", "TFLOP", "GB", "ms", ""]),
    ...Object.entries(kinds).map(([kind, totals]) => row(kind, totals, stepSeconds)),
    row("step", { ...summary, seconds: stepSeconds }, stepSeconds),
    "",
    `submits: ${submits}, the longest ${(1000 * longestSubmitSeconds).toFixed(0)} ms; in a worker's first ` +
    `micro-batch ${firstSubmits}, the longest ${(1000 * longestFirstSubmitSeconds).toFixed(0)} ms`,
    `between steps: ${(record.adapterBytes / 1e6).toFixed(0)} MB are read back and as many written`,
    `predicted, GPU alone: ${(tokensPerSecond(options, summary)).toFixed(0)} tokens/s, ` +
    `${rate} of ${options.card.peakTflops} TFLOP/s`,
    ...guesses(record),
    ...options.show === "kernels" ? ["", ...kernelLines(listKernels(record, options.card))] : [],
  ].join("\n");
}

/** A line if predictions rest on less than they could. */
function guesses(record: StepRecord): string[] {
  const keys = guessedShares(variantsOf(record));
  if (keys.length === 0) return [];
  return [`never compiled, so that their time is a guess (--write-shares): ${keys.join(", ")}`];
}

function tokensPerSecond({ tokens, microBatches }: LensOptions, { stepSeconds }: StepSummary): number {
  return tokens * microBatches / stepSeconds;
}

/** The same numbers for programs. */
export function reportJson(options: LensOptions, record: StepRecord) {
  const summary = summarize(record, options.card);
  const { model, card, tokens, documents, microBatches, lora, memoryBytes } = options;
  const { plannedBytes, peakBytes, loraParameters, adapterBytes } = record;
  return {
    model,
    card: card.key,
    tokens,
    documents,
    micro_batches: microBatches,
    lora_r: lora.r,
    lora_parameters: loraParameters,
    memory_bytes: memoryBytes,
    planned_bytes: plannedBytes,
    peak_bytes: peakBytes,
    adapter_bytes: adapterBytes,
    step: {
      ...totalsJson(summary),
      submits: summary.submits,
      longest_submit_ms: 1000 * summary.longestSubmitSeconds,
      first_submits: summary.firstSubmits,
      longest_first_submit_ms: 1000 * summary.longestFirstSubmitSeconds,
      predicted_ms: 1000 * summary.stepSeconds,
      tokens_per_second: tokensPerSecond(options, summary),
    },
    kernels: Object.fromEntries(
      Object.entries(summary.kinds).map(([kind, totals]) => [kind, totalsJson(totals)]),
    ),
    ...options.show === "kernels" && { dispatches: listKernels(record, card) },
  };
}

function totalsJson({ dispatches, workgroups, flops, bytes, seconds }: Totals) {
  return { dispatches, workgroups, flops, bytes, predicted_ms: 1000 * seconds };
}
