import { assertEquals, assertStringIncludes } from "@std/assert";
import { formatPlan, type Plan } from "./format_plan.ts";
import { nextSteps } from "./next_steps.ts";

const GIB = 2 ** 30;
const PLAN: Plan = {
  model: "org/m",
  dataset: {
    ...{ examples: 10, rows: 4, tokens: 1000, trained_tokens: 250, trained_tokens_per_example: 25 },
    ...{ truncated_rows: 1, longest_document: 99 },
  },
  masks: [{
    line: 3,
    segments: [{ text: "Q\x1b[2J\n", trained: false }, { text: "A", trained: true }, {
      text: "B",
      trained: true,
      weight: 0.5,
    }],
    hidden_tokens: 7,
  }],
  total_steps: 12,
  total_tokens: 36_000,
  memory: {
    workers: [{ name: "w: a GPU", available_bytes: null, needed_bytes: GIB / 2, fits: null, advice: null }],
    cards: [
      {
        ...{ name: "first", available_bytes: 8 * GIB, needed_bytes: 5 * GIB, fits: true, advice: null },
        host_bytes: 1.5 * GIB,
      },
      { name: "large", available_bytes: 8 * GIB, needed_bytes: 5 * GIB, fits: true, advice: null },
      {
        ...{ name: "larger", available_bytes: 9 * GIB, needed_bytes: 5 * GIB, fits: true, advice: null },
        ...{ kept_layers: 30, trained_layers: 32 },
      },
      {
        ...{ name: "largest", available_bytes: 99 * GIB, needed_bytes: 5 * GIB, fits: true, advice: null },
        ...{ kept_layers: 32, trained_layers: 32 },
      },
      { name: "small", available_bytes: 4 * GIB, needed_bytes: 5 * GIB, fits: false, advice: "lower lora.r" },
    ],
  },
  time: { tokens_per_second: 10, source: "given", workers: 1, seconds: 3600, cost: 0.29 },
  busy: {
    ...{ workers: 4, items_per_step: 2, busy_share: 0.5, best_share: 1 },
    best: { "training.gradient_accumulation_steps": 4, "training.per_device_train_batch_size": 2 },
  },
  exports: [{ kind: "merged", obstacle: null }, { kind: "gguf", obstacle: "its tokenizer is odd" }],
  warnings: ["Mind the gap."],
};

Deno.test("a plan as text: data, masks, memory, time, exports, warnings", () => {
  const text = formatPlan(PLAN);
  for (
    const part of [
      "org/m: 12 steps, 36000 tokens",
      "25.0 % of them trained (25.0 for each example)",
      "line 3: Q\\u001b[2J\\n⟦A⟧⟦B⟧×0.5 … 7 more tokens",
      "512 MiB memory unknown",
      "5.0 GiB of 8.0 GiB  fits\n",
      "5.0 GiB of 9.0 GiB  fits, computes 2 of 32 layers twice\n",
      "5.0 GiB of 99.0 GiB  fits, computes nothing twice\n",
      "5.0 GiB of 4.0 GiB  does not fit: lower lora.r",
      "main memory of a worker: 1.5 GiB beside a GPU with memory of its own",
      "time: 1:00:00 at 10 tokens/s (given), 0.29 at the given price",
      "a step of 2 keeps 50 % of 4 workers busy; best: training.gradient_accumulation_steps 4, " +
      "training.per_device_train_batch_size 2 (100 %)",
      "exports: merged\n  not gguf: its tokenizer is odd",
      "warning: Mind the gap.",
    ]
  ) assertStringIncludes(text, part);
});

Deno.test("without a speed the plan says what would give one", () => {
  const time = { tokens_per_second: null, source: "train first", workers: null, seconds: null, cost: null };
  assertStringIncludes(formatPlan({ ...PLAN, time }), "time: unknown; train first");
});

Deno.test("the next steps name only what was made", () => {
  const job = { lora: { r: 64 }, quantization: { bnb_4bit_use_double_quant: false } };
  const results = { model: "/m", outFolder: "/o", exports: [], job };
  assertEquals(/gguf|merged/.test(nextSteps(results)), false);
  const text = nextSteps({ ...results, exports: ["merged", "gguf"] });
  for (
    const part of [
      "vllm serve /o/merged",
      "/o/gguf",
      "--max-lora-rank 64 --lora-modules tuned=/o",
      "use_double_quant=False",
    ]
  ) {
    assertStringIncludes(text, part);
  }
  assertStringIncludes(
    nextSteps({ ...results, model: "org/m@v2" }),
    "vllm serve org/m --revision v2 --enable-lora",
  );
});

Deno.test("without a tokenizer the plan says what it does not know", () => {
  const unknown = { ...PLAN, dataset: null, masks: [] };
  assertStringIncludes(
    formatPlan({ ...unknown, total_steps: null, total_tokens: null }),
    ": steps unknown\n",
  );
  const bounded = formatPlan({ ...unknown, total_steps: 50, total_tokens: 25_600 });
  assertStringIncludes(bounded, ": 50 steps, at most 25600 tokens\n");
});
