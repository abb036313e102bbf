import { assertEquals } from "@std/assert";
import { trainingSchema } from "../../../shared/job/job_spec_schema.ts";
import {
  type Evaluated,
  isExhausted,
  NO_SELECTION,
  selectionOf,
  selectionRuleOf,
  withEvaluation,
} from "./selection.ts";

const rule = (fields: Record<string, unknown> = {}) => selectionRuleOf(trainingSchema.parse(fields));
const losses = (...values: (number | null)[]): Evaluated[] =>
  values.map((loss, index) => ({ step: index + 1, loss, accuracy: 0.5 }));

Deno.test("the best is the first with the lowest loss", () => {
  assertEquals(selectionOf(rule(), losses(3, 2, 2, 2.5), 4).best, { step: 2, value: 2 });
  assertEquals(selectionOf(rule(), losses(3, 2, 1), 2).best, { step: 2, value: 2 });
  assertEquals(selectionOf(rule(), [], 9), NO_SELECTION);
});

Deno.test("accuracy is better if greater, unless the job says otherwise", () => {
  const accuracies = [0.2, 0.7, 0.4].map((accuracy, index) => ({ step: index + 1, loss: 1, accuracy }));
  const metric_for_best_model = "mean_token_accuracy";
  assertEquals(selectionOf(rule({ metric_for_best_model }), accuracies, 3).best, { step: 2, value: 0.7 });
  const lesser = rule({ metric_for_best_model, greater_is_better: false });
  assertEquals(selectionOf(lesser, accuracies, 3).best, { step: 1, value: 0.2 });
});

Deno.test("patience counts evaluations in a row without an improvement beyond the threshold", () => {
  const stops = (fields: Record<string, unknown>, ...values: (number | null)[]) => {
    let selection = NO_SELECTION;
    return losses(...values).findIndex((evaluated) => {
      selection = withEvaluation(rule(fields), selection, evaluated);
      return isExhausted(rule(fields), selection);
    });
  };
  assertEquals(stops({ early_stopping_patience: 2 }, 3, 2, 2.1, 1.9, 2, 2, 1), 5);
  assertEquals(stops({ early_stopping_patience: 1 }, 3, 3), 1);
  assertEquals(stops({ early_stopping_patience: 1 }, 3, 2, 1), -1);
  // An improvement of less than the threshold is a new best all the same, as in transformers.
  assertEquals(stops({ early_stopping_patience: 2, early_stopping_threshold: 0.5 }, 3, 2.8, 2.6, 1), 2);
  assertEquals(stops({}, 3, 4, 5, 6), -1);
  assertEquals(stops({ early_stopping_patience: 2 }, 3, null, null), 2);
});

Deno.test("a loss that is not finite is never the best, and neither is the one before the first step", () => {
  assertEquals(selectionOf(rule(), losses(null, 2), 2).best, { step: 2, value: 2 });
  assertEquals(selectionOf(rule(), [{ step: 0, loss: 1, accuracy: 1 }], 0), NO_SELECTION);
});
