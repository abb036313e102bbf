/**
 * Budgets: what a step of four models costs today, rounded up. Whoever makes a step dearer hears it here, and lowers the
 * numbers where it became cheaper. `deno task lens --model … --card …` shows where the work is.
 */
import { assertEquals } from "@std/assert";
import { hardwareOf } from "./cards.ts";
import { parseLensOptions } from "./options.ts";
import { recordStep } from "./step.ts";
import { summarize } from "./summary.ts";

/** Of one micro-batch of 2048 tokens, LoRA on all linear layers, dropout 0.1. */
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
    { dispatches: 1941, submits: 3, teraflop: 16.2, gigabytes: 105, longestSubmitMs: 1090, gibibytes: 3.01 },
  ],
  [
    "--model llama2-7b --card rtx3090",
    { dispatches: 3874, submits: 3, teraflop: 82.6, gigabytes: 355, longestSubmitMs: 5450, gibibytes: 8.13 },
  ],
  [
    "--model llama3-8b --card rtx3090",
    { dispatches: 3893, submits: 3, teraflop: 92.6, gigabytes: 378, longestSubmitMs: 6050, gibibytes: 11.44 },
  ],
  [
    "--model llama3-70b --card h200 --lora-r 16",
    {
      dispatches: 9749,
      submits: 5,
      teraflop: 809,
      gigabytes: 1850,
      longestSubmitMs: 13_300,
      gibibytes: 50.4,
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
