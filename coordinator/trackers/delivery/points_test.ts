import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { JobEvent } from "../../jobs/stores/job_store.ts";
import {
  foldEvent,
  type Folding,
  foldingSchema,
  type LoggingRule,
  NOTHING_FOLDED,
  summaryOf,
} from "./points.ts";
import type { Point } from "../run/tracker.ts";

const RULE: LoggingRule = { strategy: "steps", loggingSteps: 1, firstStep: false, workerHourPrice: null };

function metrics(data: Record<string, unknown>): JobEvent {
  return { number: 1, jobId: "j", createdAt: 1000, level: "info", type: "metrics", message: "", data };
}

function step(step: number, more: Record<string, unknown> = {}): JobEvent {
  return metrics({
    ...{ step, total_steps: 10, epoch: step / 5, train_loss: step, learning_rate: 0.1 / step, grad_norm: 2 },
    ...{ tokens: 100, workers: 2, step_seconds: 4, digest: "ab", ...more },
  });
}

function fold(
  events: readonly JobEvent[],
  rule: Partial<LoggingRule> = {},
): { points: Point[]; folding: Folding } {
  let folding: Folding = NOTHING_FOLDED;
  const points: Point[] = [];
  for (const event of events) {
    const folded = foldEvent(folding, event, { ...RULE, ...rule });
    // As it is stored between two batches.
    folding = foldingSchema.parse(JSON.parse(JSON.stringify(folded.folding)));
    if (folded.point !== null) points.push(folded.point);
  }
  return { points, folding };
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
const stepsOf = (points: readonly Point[]) => points.map(({ step }) => step);

Deno.test("a step becomes a point under the Trainer's names", () => {
  const { points } = fold([step(1)], { workerHourPrice: 0.9 });
  assertEquals(points, [{
    step: 1,
    at: 1000,
    values: {
      ...{ loss: 1, learning_rate: 0.1, grad_norm: 2, epoch: 0.2, workers: 2 },
      ...{ num_tokens: 100, tokens_per_second: 25, cost: 2 * 4 / 3600 * 0.9 },
    },
  }]);
});

Deno.test("every logging_steps steps a point has their mean loss and speed, and the last step has one too", () => {
  const events = range(1, 10).map((n) => step(n, n === 5 ? { train_mean_token_accuracy: 0.5 } : {}));
  const { points } = fold(events, { loggingSteps: 4 });
  assertEquals(stepsOf(points), [4, 8, 10]);
  assertEquals(points.map(({ values }) => values["loss"]), [2.5, 6.5, 9.5]);
  assertEquals(points.map(({ values }) => values["tokens_per_second"]), [25, 25, 25]);
  assertEquals(points.map(({ values }) => values["mean_token_accuracy"]), [undefined, 0.5, undefined]);
  assertEquals(points.map(({ values }) => values["num_tokens"]), [400, 800, 1000]);
});

Deno.test("logging_steps below 1 is a share of all steps; strategy, first step and epochs decide as in transformers", () => {
  const events = range(1, 10).map((n) => step(n));
  assertEquals(stepsOf(fold(events, { loggingSteps: 0.25 }).points), [3, 6, 9, 10]);
  assertEquals(stepsOf(fold(events, { loggingSteps: 0 }).points), range(1, 10));
  assertEquals(stepsOf(fold(events, { loggingSteps: 5, firstStep: true }).points), [1, 5, 10]);
  assertEquals(stepsOf(fold(events, { strategy: "epoch" }).points), [5, 10]);
  assertEquals(stepsOf(fold(events, { strategy: "no" }).points), []);
});

Deno.test("a step that is repeated after a rollback appears once, but its time is paid for", () => {
  const { points } = fold([step(1), step(2), step(1), step(2), step(3)], { workerHourPrice: 3600 });
  assertEquals(stepsOf(points), [1, 2, 3]);
  assertEquals(points.at(-1)!.values["cost"], 5 * 8);
  assertEquals(points.at(-1)!.values["num_tokens"], 300);
});

Deno.test("a number that is not finite is null in the stored event and NaN in the point", () => {
  const { points } = fold(
    [step(1), step(2, { train_loss: null, grad_norm: null }), step(3), step(4)],
    { loggingSteps: 2 },
  );
  assertEquals(points.map(({ values }) => [values["loss"], values["grad_norm"]]), [[NaN, NaN], [3.5, 2]]);
});

Deno.test("an evaluation is a point of its own, once for each step", () => {
  const evaluation = metrics({ step: 2, epoch: 0.4, eval_loss: 1.5, eval_mean_token_accuracy: 0.25 });
  const { points } = fold([step(1), step(2), evaluation, evaluation, step(3)]);
  assertEquals(stepsOf(points), [1, 2, 2, 3]);
  assertEquals(points[2]!.values, { eval_loss: 1.5, eval_mean_token_accuracy: 0.25, epoch: 0.4 });
});

Deno.test("an evaluation under OpenAI's names, before the first step as well, and with a loss that is not finite", () => {
  const evaluation = (step: number, more: object) =>
    metrics({
      step,
      epoch: 0,
      workers: 2,
      valid_mean_token_accuracy: 0.5,
      full_valid_mean_token_accuracy: 0.5,
      ...more,
    });
  const { points, folding } = fold([
    evaluation(0, { valid_loss: 2, full_valid_loss: 2, eval_tokens: 9, eval_seconds: 3 }),
    step(1),
    evaluation(1, { train_loss: 1 }),
  ]);
  assertEquals(stepsOf(points), [0, 1, 1]);
  const shared = { eval_mean_token_accuracy: 0.5, epoch: 0 };
  assertEquals(points[0]!.values, { ...shared, eval_loss: 2, eval_num_tokens: 9, eval_runtime: 3 });
  assertEquals(points[2]!.values, { ...shared, eval_loss: NaN });
  assertEquals(folding.allTokens, 100);
});

Deno.test("messages and metrics without a step are no points", () => {
  const message = { ...step(1), type: "message" as const };
  assertEquals(fold([message, metrics({ eval_loss: 1 }), metrics({ step: 1, other: 2 })]).points, []);
});

Deno.test("the summary is of the whole run", () => {
  const { folding } = fold(range(1, 10).map((n) => step(n)), { strategy: "no" });
  const summary = summaryOf(folding);
  assertAlmostEquals(summary["train_loss"]!, 5.5);
  assertEquals([summary["train_runtime"], summary["train_tokens_per_second"]], [40, 25]);
  assertEquals(summaryOf(NOTHING_FOLDED), {});
});
