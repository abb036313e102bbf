import { assertEquals } from "@std/assert";
import { parseJobRequest } from "./parse.ts";

const warningsOf = (request: Record<string, unknown>) =>
  parseJobRequest({ model: "m", training_file: "file-1", ...request }).warnings;
const EVALUATED = { validation_file: "file-2" };

/** Requests with a field for nothing, and their one warning; the same request with the second change has none. */
const CASES: readonly [Record<string, unknown>, string, Record<string, unknown>][] = [
  [
    { training: { save_steps: 20, save_strategy: "epoch" } },
    'training.save_steps (20) has no effect: training.save_strategy is "epoch".',
    { training: { save_steps: 20, save_strategy: "steps" } },
  ],
  [
    { training: { save_total_limit: 2, save_strategy: "no" } },
    'training.save_total_limit (2) has no effect: training.save_strategy is "no", so that there is one checkpoint.',
    { ...EVALUATED, training: { save_total_limit: 2, save_strategy: "no", load_best_model_at_end: true } },
  ],
  [
    { ...EVALUATED, training: { eval_steps: 5, eval_strategy: "epoch" } },
    'training.eval_steps (5) has no effect: training.eval_strategy is "epoch".',
    { ...EVALUATED, training: { eval_steps: 5, eval_strategy: "steps" } },
  ],
  [
    { ...EVALUATED, training: { early_stopping_threshold: 0.1 } },
    "training.early_stopping_threshold (0.1) has no effect: training.early_stopping_patience is not set.",
    { ...EVALUATED, training: { early_stopping_threshold: 0.1, early_stopping_patience: 3 } },
  ],
  [
    { ...EVALUATED, training: { greater_is_better: true } },
    "training.greater_is_better (true) has no effect: neither load_best_model_at_end nor early_stopping_patience asks for " +
    "the best evaluation.",
    { ...EVALUATED, training: { greater_is_better: true, load_best_model_at_end: true } },
  ],
  [
    { training: { num_train_epochs: 2, max_steps: 60 } },
    "training.num_train_epochs (2) has no effect: training.max_steps is 60.",
    { training: { num_train_epochs: 2 } },
  ],
  [
    { training: { warmup_ratio: 0.1, warmup_steps: 10 } },
    "training.warmup_ratio (0.1) has no effect: training.warmup_steps is 10.",
    { training: { warmup_ratio: 0.1 } },
  ],
  [
    { training: { warmup_steps: 10, lr_scheduler_type: "constant" } },
    'training.warmup_steps (10) has no effect: training.lr_scheduler_type is "constant", which has no warm-up.',
    { training: { warmup_steps: 10, lr_scheduler_type: "constant_with_warmup" } },
  ],
  [
    { dataset: { packing: false, packing_strategy: "wrapped" } },
    'dataset.packing_strategy ("wrapped") has no effect: dataset.packing is false.',
    { dataset: { packing_strategy: "wrapped" } },
  ],
  [
    { fleet: { audit_unresolved: "continue" } },
    'fleet.audit_unresolved ("continue") has no effect: fleet.audit_rate is 0.',
    { fleet: { audit_unresolved: "continue", audit_rate: 0.1 } },
  ],
];

for (const [request, warning, right] of CASES) {
  Deno.test(`a field for nothing is warned of: ${warning.slice(0, warning.indexOf(":"))}`, () => {
    assertEquals(warningsOf(request), [warning]);
    assertEquals(warningsOf(right), []);
  });
}

Deno.test("defaults that a pasted configuration writes out are no fields for nothing", () => {
  const training = { save_strategy: "epoch", save_steps: 500, num_train_epochs: 3.0, max_steps: 10 };
  assertEquals(warningsOf({ training: { ...training, packing: false, packing_strategy: "bfd" } }), []);
});

Deno.test("a field gets one warning, by the reason that is named first", () => {
  const training = { warmup_ratio: 0.2, warmup_steps: 5, lr_scheduler_type: "constant" };
  assertEquals(warningsOf({ training }), [
    "training.warmup_ratio (0.2) has no effect: training.warmup_steps is 5.",
    'training.warmup_steps (5) has no effect: training.lr_scheduler_type is "constant", which has no warm-up.',
  ]);
});
