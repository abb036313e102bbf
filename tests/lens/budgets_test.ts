/**
 * Budgets: what a step of four models costs today, rounded up. Whoever makes a step dearer hears it here, and lowers the
 * numbers where it became cheaper. `deno task lens --model … --card …` shows where the work is.
 */
import { assertEquals } from "@std/assert";
import { hardwareOf } from "./cards.ts";
import { parseLensOptions } from "./options.ts";
import { recordStep } from "./step.ts";
import { summarize } from "./summary.ts";

/** Of the first micro-batch, whose GPU counts as slow: 2048 tokens, LoRA on all linear layers, dropout 0.1. */
interface Budget {
  readonly dispatches: number;
  readonly submits: number;
  readonly teraflop: number;
  readonly gigabytes: number;
  /** Predicted. */
  readonly longestSubmitMs: number;
  /** Of the memory plan. */
  readonly gibibytes: number;
}

const BUDGETS: readonly (readonly [args: string, budget: Budget])[] = [
  [
    "--model llama3-1b --card rtx3090",
    { dispatches: 1461, submits: 380, teraflop: 13, gigabytes: 81.3, longestSubmitMs: 16, gibibytes: 7.17 },
  ],
  [
    "--model llama2-7b --card rtx3090",
    { dispatches: 2914, submits: 1080, teraflop: 61.6, gigabytes: 268, longestSubmitMs: 30, gibibytes: 22.4 },
  ],
  [
    "--model llama3-8b --card rtx3090",
    { dispatches: 3189, submits: 1130, teraflop: 77, gigabytes: 312, longestSubmitMs: 31, gibibytes: 22.6 },
  ],
  [
    "--model llama3-70b --card h200 --lora-r 16",
    {
      dispatches: 7221,
      submits: 2670,
      teraflop: 601,
      gigabytes: 1375,
      longestSubmitMs: 32,
      gibibytes: 128.2,
    },
  ],
];

async function costOf(args: string): Promise<Budget> {
  const options = parseLensOptions(args.split(" "));
  const record = await recordStep(options.spec, hardwareOf(options.card, options.memoryBytes), options);
  const { dispatches, submits, flops, bytes, longestSubmitSeconds } = summarize(record, options.card);
  return {
    dispatches,
    submits,
    teraflop: flops / 1e12,
    gigabytes: bytes / 1e9,
    longestSubmitMs: 1000 * longestSubmitSeconds,
    gibibytes: record.plannedBytes / 2 ** 30,
  };
}

for (const [args, budget] of BUDGETS) {
  Deno.test(`a step keeps to its budget: ${args}`, async () => {
    const cost = await costOf(args);
    const names = Object.keys(budget) as (keyof Budget)[];
    const over = names.filter((name) => cost[name] > budget[name]);
    assertEquals(over.map((name) => `${name}: ${cost[name]} of ${budget[name]}`), []);
  });
}
