import { assertEquals, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { specHash } from "../../shared/job/job_spec_hash.ts";
import { parseJobRequest } from "./parse.ts";

const MINIMAL = { model: "m", training_file: "file-1" };
const parsed = (change: Record<string, unknown>) => parseJobRequest({ ...MINIMAL, ...change });
const trainingOf = (change: Record<string, unknown>) => parsed(change).spec.training;

Deno.test("a job without evaluation has none of its fields, and the hash of before", () => {
  const { spec } = parsed({});
  const evaluated = parsed({ validation_file: "file-2" });
  assertEquals(
    Object.keys(spec.training).filter((name) => name.startsWith("eval") || name.includes("best")),
    [],
  );
  assertEquals(specHash(spec), "9bc98e38a43fcfe3c2273596bbc0572acb63535517c503a4af39cbd457a8c8da");
  assertEquals(specHash(evaluated.spec) === specHash(spec), false);
});

Deno.test("rows to evaluate are evaluated after each epoch, unless steps say otherwise", () => {
  const sources = [{ validation_file: "file-2" }, { dataset: { test_size: 0.1 } }, {
    dataset: { split: "train[:90%]", eval_split: "train[90%:]" },
  }];
  for (const source of sources) {
    assertEquals(trainingOf(source).eval_strategy, "epoch");
    const bySteps = trainingOf({ ...source, training: { eval_steps: 20 } });
    assertEquals([bySteps.eval_strategy, bySteps.eval_steps], ["steps", 20]);
  }
  assertEquals(parsed({ validation_file: "file-2" }).validationFile, "file-2");
  assertEquals(parsed({ validation_file: "file-2" }).warnings, []);
});

Deno.test("eval_strategy steps alone: as often as logging_steps, as in transformers", () => {
  const source = { validation_file: "file-2" };
  assertEquals(
    trainingOf({ ...source, training: { evaluation_strategy: "steps", logging_steps: 25 } }).eval_steps,
    25,
  );
  assertEquals(
    trainingOf({ ...source, training: { eval_strategy: "IntervalStrategy.STEPS" } }).eval_steps,
    500,
  );
  assertEquals(
    trainingOf({ ...source, training: { eval_strategy: "steps", eval_steps: 0.1 } }).eval_steps,
    0.1,
  );
});

Deno.test("the names of metrics are those that the libraries log", () => {
  const best = (metric: string) =>
    trainingOf({
      validation_file: "file-2",
      training: { load_best_model_at_end: true, metric_for_best_model: metric },
    }).metric_for_best_model;
  assertEquals(["loss", "eval_loss", "eval_mean_token_accuracy"].map(best), [
    "loss",
    "loss",
    "mean_token_accuracy",
  ]);
});

Deno.test("a dumped configuration with the library's defaults sets nothing", () => {
  const training = {
    ...{ eval_strategy: "no", eval_steps: null, eval_delay: 0, eval_on_start: false, do_eval: false },
    ...{ per_device_eval_batch_size: 8, load_best_model_at_end: false, metric_for_best_model: null },
    ...{ greater_is_better: null, save_total_limit: null },
  };
  const { spec, warnings } = parsed({ training });
  assertEquals(Object.keys(spec.training).filter((name) => /eval|best|limit/.test(name)), ["eval_strategy"]);
  assertEquals(warnings, []);
});

Deno.test("eval_strategy no with a validation file: said, not guessed", () => {
  const { spec, warnings } = parsed({ validation_file: "file-2", training: { eval_strategy: "no" } });
  assertEquals(spec.training.eval_strategy, "no");
  assertEquals(warnings, ['validation_file has no effect: training.eval_strategy is "no".']);
});

const REFUSED: readonly [string, Record<string, unknown>, string, string][] = [
  ["two sources", { validation_file: "f", dataset: { test_size: 0.1 } }, "dataset.test_size", "leave one"],
  [
    "a strategy without rows",
    { training: { eval_strategy: "epoch" } },
    "training.eval_strategy",
    "validation_file",
  ],
  [
    "the best of no evaluation",
    { training: { load_best_model_at_end: true } },
    "training.load_best_model_at_end",
    "nothing is evaluated",
  ],
  [
    "early stopping without evaluation",
    { validation_file: "f", training: { eval_strategy: "no", early_stopping_patience: 3 } },
    "training.early_stopping_patience",
    'eval_strategy is "no"',
  ],
  [
    "rows held out for nothing",
    { dataset: { test_size: 0.1 }, training: { eval_strategy: "no" } },
    "dataset.test_size",
    "neither trained on nor evaluated",
  ],
  [
    "an unknown metric",
    {
      validation_file: "f",
      training: { metric_for_best_model: "eval_bleu" },
    },
    "training.metric_for_best_model",
    "eval_bleu",
  ],
  [
    "half an evaluation step",
    { validation_file: "f", training: { eval_steps: 2.5 } },
    "training.eval_steps",
    "whole",
  ],
  [
    "a share above 1 that is no count",
    { dataset: { test_size: 1.5 } },
    "dataset.test_size",
    "whole number of rows",
  ],
];

for (const [name, change, param, part] of REFUSED) {
  Deno.test(`refused: ${name}`, () => {
    let error: unknown;
    try {
      parsed(change);
    } catch (thrown) {
      error = thrown;
    }
    if (!(error instanceof LoraFleetError)) throw new Error(`accepted: ${JSON.stringify(change)}`);
    assertEquals(error.param, param);
    assertStringIncludes(error.message, part);
  });
}

Deno.test("fields about an evaluation that does not take place are named in a warning", () => {
  const request = { model: "org/llama", training_file: "file-1" };
  const training = { eval_steps: 5, early_stopping_threshold: 0.1 };
  const { warnings } = parseJobRequest({ ...request, training });
  assertEquals(warnings, [
    "training.eval_steps, training.early_stopping_threshold have no effect: nothing is evaluated.",
  ]);
  const stopped = { ...training, early_stopping_patience: 2 };
  assertEquals(parseJobRequest({ ...request, training: stopped, validation_file: "file-2" }).warnings, []);
});
