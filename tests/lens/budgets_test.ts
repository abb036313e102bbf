/**
 * Budgets: what a step of four models costs today, rounded up by less than 1%. Whoever makes a step dearer hears it here, and
 * lowers the numbers where it became cheaper. `deno task lens --model … --card …` shows where the work is.
 */
import { assertEquals } from "@std/assert";
import { parseLensOptions } from "./options.ts";
import { recordStep } from "./step.ts";
import { summarize } from "./summary.ts";

/** Of one micro-batch of 2048 tokens, LoRA on all linear layers, by default r 64, dropout 0.1; times are predicted. */
interface Budget {
  readonly dispatches: number;
  readonly submits: number;
  /** In a worker's first micro-batch, when the card's speed is unknown. */
  readonly firstSubmits: number;
  readonly longestSubmitMs: number;
  readonly teraflop: number;
  readonly gigabytes: number;
  readonly tokensPerSecond: number;
}

/** At most so much; tokensPerSecond at least. */
const BUDGETS: Readonly<Record<string, Budget>> = {
  "--model llama3-1b --card rtx3090": {
    ...{ dispatches: 1461, submits: 14, firstSubmits: 410, longestSubmitMs: 110 },
    ...{ teraflop: 13, gigabytes: 80, tokensPerSecond: 2230 },
  },
  "--model llama2-7b --card rtx3090 --memory-budget-mib 22528": {
    ...{ dispatches: 2975, submits: 48, firstSubmits: 1270, longestSubmitMs: 110 },
    ...{ teraflop: 60.9, gigabytes: 277, tokensPerSecond: 491 },
  },
  "--model llama3-8b --card rtx3090": {
    ...{ dispatches: 2994, submits: 56, firstSubmits: 1480, longestSubmitMs: 110 },
    ...{ teraflop: 70.6, gigabytes: 297, tokensPerSecond: 427 },
  },
  "--model llama2-7b --card rtx3090 --lora-r 256": {
    ...{ dispatches: 3064, submits: 53, firstSubmits: 1610, longestSubmitMs: 110 },
    ...{ teraflop: 69.1, gigabytes: 300, tokensPerSecond: 440 },
  },
  "--model llama3-70b --card h200": {
    ...{ dispatches: 7223, submits: 276, firstSubmits: 11_500, longestSubmitMs: 110 },
    ...{ teraflop: 609, gigabytes: 1390, tokensPerSecond: 96 },
  },
};

async function costOf(args: string): Promise<Budget> {
  const options = parseLensOptions(args.split(" "));
  const step = summarize(await recordStep(options.spec, options.card, options), options.card);
  return {
    dispatches: step.dispatches,
    submits: step.submits,
    firstSubmits: step.firstSubmits,
    longestSubmitMs: 1000 * Math.max(step.longestSubmitSeconds, step.longestFirstSubmitSeconds),
    teraflop: step.flops / 1e12,
    gigabytes: step.bytes / 1e9,
    tokensPerSecond: options.tokens * options.microBatches / step.stepSeconds,
  };
}

for (const [args, budget] of Object.entries(BUDGETS)) {
  Deno.test(`a step keeps to its budget: ${args}`, async () => {
    const cost = await costOf(args);
    const names = Object.keys(budget) as (keyof Budget)[];
    const isOver = (name: keyof Budget) =>
      name === "tokensPerSecond" ? cost[name] < budget[name] : cost[name] > budget[name];
    assertEquals(names.filter(isOver).map((name) => `${name}: ${cost[name]}, budget ${budget[name]}`), []);
  });
}
