import { assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { LIMITS } from "../../shared/protocol/limits.ts";
import type { EvaluationReport } from "../../shared/protocol/messages_worker.ts";
import { selectionRuleOf } from "../planning/evaluation/selection.ts";
import { trainingSchema } from "../../shared/job/job_spec_schema.ts";
import {
  createDriver,
  digestOf,
  type Driver,
  INITIAL,
  member,
  PLAN,
  started,
  summarize,
} from "./step_fixture.ts";
import { resume } from "./commits.ts";
import type { StepEffect } from "./state/effects.ts";
import type { TrainingPlan } from "./state/plan.ts";
import { newTraining } from "./state/training.ts";

const planWith = (
  fields: Record<string, unknown> = {},
  steps: readonly number[] = [1, 2, 3],
  microBatchCount = 3,
): TrainingPlan => ({
  ...PLAN,
  evaluation: { steps, microBatchCount, rule: selectionRuleOf(trainingSchema.parse(fields)) },
});

const result = (change: Partial<Extract<EvaluationReport["outcome"], { type: "evaluated" }>> = {}) => (
  { type: "evaluated", lossSum: 2, labelCount: 4, correctCount: 1, computeMs: 10, ...change } as const
);

function report(
  driver: Driver,
  worker: string,
  index: number,
  outcome: EvaluationReport["outcome"] = result(),
  change: Partial<EvaluationReport> = {},
): readonly StepEffect[] {
  const { term, committed } = driver.training;
  const about = { worker, incarnation: `i-${worker}`, term, step: committed!.step, index, outcome };
  return driver.apply({ type: "evaluation", report: { ...about, ...change } });
}

const outcomesOf = (driver: Driver) =>
  driver.effects.flatMap((effect) => effect.type === "evaluated" ? [effect.report] : []);
const handedOut = (effects: readonly StepEffect[]) =>
  effects.flatMap((effect) => effect.type === "enqueueEvaluation" ? [...effect.indices] : []);

/** Step 1 is committed, and its evaluation has begun. */
function evaluating(workers = ["w-a", "w-b"], plan = planWith()): Driver {
  const driver = started(workers, { plan });
  driver.doStep();
  return driver;
}

Deno.test("a commit is evaluated before the next step, which begins when every micro-batch has a result", () => {
  const driver = evaluating();
  assertEquals([driver.training.phase, driver.training.step], ["evaluate", 1]);
  assertEquals(handedOut(driver.effects), [0, 1, 2]);
  report(driver, "w-b", 2, result({ lossSum: 3, labelCount: 2, correctCount: 2 }));
  report(driver, "w-a", 0);
  assertEquals(driver.training.phase, "evaluate");
  report(driver, "w-a", 1);
  assertEquals([driver.training.phase, driver.training.step], ["compute", 2]);
  const [outcome] = outcomesOf(driver);
  assertEquals([outcome!.step, outcome!.loss, outcome!.accuracy, outcome!.labelCount], [
    1,
    7 / 10,
    4 / 10,
    10,
  ]);
  assertEquals([outcome!.workerCount, outcome!.best], [2, { step: 1, value: 7 / 10 }]);
});

Deno.test("the outcome is the same in whatever order and by whomever, to the last bit", () => {
  const losses = [0.1, 0.2, 0.3];
  const orders = [["w-a", 0, "w-a", 1, "w-b", 2], ["w-b", 2, "w-b", 1, "w-a", 0], [
    "w-a",
    1,
    "w-b",
    0,
    "w-a",
    2,
  ]];
  const outcomes = orders.map((order) => {
    const driver = evaluating();
    for (let i = 0; i < order.length; i += 2) {
      const index = order[i + 1] as number;
      report(driver, order[i] as string, index, result({ lossSum: losses[index]! }));
    }
    return outcomesOf(driver)[0]!.loss;
  });
  assertEquals(new Set(outcomes).size, 1);
  // 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in f64.
  assertEquals(outcomes[0], (0.1 + 0.2 + 0.3) / 12);
});

Deno.test("a result counts once; reports of another term, step or position change nothing", () => {
  const driver = evaluating();
  report(driver, "w-a", 0);
  const { evaluation } = driver.training;
  report(driver, "w-b", 0, result({ lossSum: 99 }));
  report(driver, "w-a", 1, result(), { term: 99 });
  report(driver, "w-a", 1, result(), { step: 0 });
  report(driver, "w-a", 7);
  assertEquals(driver.training.evaluation, evaluation);
});

Deno.test("a worker that does not hold the state is not believed, and its micro-batch is handed out again", () => {
  const driver = evaluating();
  assertEquals(handedOut(report(driver, "w-c", 1)), [1]);
  assertEquals(handedOut(report(driver, "w-a", 1, result(), { incarnation: "i-old" })), [1]);
  assertEquals(driver.training.evaluation!.resultCount, 0);
});

Deno.test("a worker that dies in mid-evaluation costs what it had in hand, no result", () => {
  const driver = evaluating();
  report(driver, "w-b", 0);
  driver.drain();
  const committed = driver.training.committed!;
  const left = { ...member("w-a", committed), busy: { step: 1, attempt: 0, index: 2 } };
  driver.fleet(left);
  assertEquals(handedOut(driver.drain()), [1]);
  assertEquals([driver.training.phase, driver.training.evaluation!.resultCount], ["evaluate", 1]);
});

Deno.test("without any worker the evaluation waits, and goes on with one that returns with the state", () => {
  const driver = evaluating();
  report(driver, "w-b", 0);
  const committed = driver.training.committed!;
  driver.fleet();
  driver.apply({ type: "tick" });
  assertStringIncludes(driver.effects.map((effect) => JSON.stringify(effect)).join(), "waits for one");
  driver.drain();
  driver.fleet(member("w-c", committed));
  driver.apply({ type: "tick" });
  assertEquals(handedOut(driver.drain()), [1, 2]);
  report(driver, "w-c", 1);
  report(driver, "w-c", 2);
  assertEquals([driver.training.phase, driver.training.step], ["compute", 2]);
});

Deno.test("a state that stays lost restarts the job, as between two steps", () => {
  const driver = evaluating();
  driver.fleet(member("w-new", { step: 0, digest: INITIAL }));
  driver.apply({ type: "tick" });
  driver.now += LIMITS.stateLossGraceMs + 1;
  driver.apply({ type: "tick" });
  assertEquals(driver.effects.some(({ type }) => type === "restart"), true);
});

Deno.test("a loss that is not finite is computed once more; a finite one counts, two that are not end up as none", () => {
  const driver = evaluating();
  assertEquals(handedOut(report(driver, "w-a", 0, result({ lossSum: null }))), [0]);
  report(driver, "w-b", 0);
  assertEquals(handedOut(report(driver, "w-a", 1, result({ lossSum: null }))), [1]);
  report(driver, "w-b", 1, result({ lossSum: null }));
  report(driver, "w-b", 2);
  const [outcome] = outcomesOf(driver);
  assertEquals([outcome!.loss, outcome!.best], [null, null]);
  assertAlmostEquals(outcome!.accuracy, 0.25);
});

Deno.test("a worker that cannot evaluate gets a strike; if none can, training goes on without the evaluation", () => {
  const driver = evaluating();
  const failed = { type: "failed", reason: "the GPU is lost" } as const;
  assertEquals(handedOut(report(driver, "w-a", 0, failed)), [0]);
  assertEquals(driver.training.strikes.get("w-a")?.length, 1);
  report(driver, "w-b", 0, failed);
  assertEquals([driver.training.phase, outcomesOf(driver).length], ["compute", 0]);
  assertStringIncludes(summarize(driver.effects).join("\n"), "left without an evaluation: no worker can");
});

Deno.test("the last rows are hedged; rows that never come back are given up after three long waits", () => {
  const driver = evaluating();
  report(driver, "w-a", 0);
  driver.drain();
  driver.now += LIMITS.hedgeMs;
  driver.apply({ type: "tick" });
  assertEquals(handedOut(driver.drain()), [1, 2]);
  for (let stall = 0; stall < 3; stall++) {
    driver.now += LIMITS.microBatchDeadlineMs;
    driver.apply({ type: "tick" });
  }
  assertEquals([driver.training.phase, driver.training.step], ["compute", 2]);
  assertStringIncludes(summarize(driver.effects).join("\n"), "Step 1 is left without an evaluation");
});

Deno.test("time in which no worker could be heard is no stall", () => {
  const driver = evaluating();
  report(driver, "w-a", 0);
  for (let second = 0; second < 600; second++) {
    driver.now += 1000;
    driver.apply({ type: "blackout", milliseconds: 1000 });
    driver.apply({ type: "tick" });
  }
  assertEquals([driver.training.phase, driver.training.evaluation!.stalls], ["evaluate", 0]);
});

Deno.test("rows that the broker does not take are left without a result", () => {
  const driver = evaluating();
  driver.apply({ type: "notHandedOut", step: 0, reason: "late" });
  assertEquals(driver.training.phase, "evaluate");
  driver.apply({ type: "notHandedOut", step: 1, reason: "a micro-batch is larger than a message" });
  assertEquals(driver.training.phase, "compute");
});

Deno.test("thousands of micro-batches are handed out a window at a time, each once", () => {
  const count = 1000;
  const driver = evaluating(["w-a"], planWith({}, [1], count));
  const seen = handedOut(driver.drain());
  assertEquals(seen.length, 256);
  for (let index = 0; index < count; index++) seen.push(...handedOut(report(driver, "w-a", index)));
  assertEquals(seen, Array.from({ length: count }, (_, index) => index));
  assertEquals(outcomesOf(driver).length, 1);
});

Deno.test("an evaluation before the first step delays it, and is compared with nothing", () => {
  const driver = started(["w-a"], { plan: planWith({}, [0]) });
  assertEquals(driver.training.phase, "evaluate");
  for (const index of [0, 1, 2]) report(driver, "w-a", index);
  assertEquals([driver.training.phase, driver.training.step], ["compute", 1]);
  assertEquals([outcomesOf(driver)[0]!.step, outcomesOf(driver)[0]!.best], [0, null]);
});

/** Evaluates the newest commit with this loss. */
function evaluateWith(driver: Driver, loss: number): void {
  for (const index of [0, 1, 2]) report(driver, "w-a", index, result({ lossSum: 4 * loss }));
}

Deno.test("early stopping ends the job after a step's evaluation, with a checkpoint of it", () => {
  const plan = { ...planWith({ early_stopping_patience: 1 }), totalSteps: 9, checkpointSteps: [9] };
  const driver = started(["w-a"], { plan });
  driver.doStep();
  evaluateWith(driver, 2);
  driver.doStep();
  evaluateWith(driver, 3);
  assertEquals([driver.training.phase, driver.training.lastStep], ["checkpoint", 2]);
  assertStringIncludes(summarize(driver.effects).join("\n"), "ends early after step 2");
  const outcome = { type: "written", files: [{ name: "a", size: 1, sha256: digestOf("a") }] } as const;
  driver.apply({
    type: "checkpoint",
    report: {
      worker: "w-a",
      incarnation: "i-w-a",
      step: 2,
      outcome: { ...outcome, files: [...outcome.files] },
    },
  });
  assertEquals(driver.training.phase, "done");
});

Deno.test("a coordinator that starts again continues an unfinished evaluation, and knows the earlier ones", () => {
  const plan = planWith({ early_stopping_patience: 2 });
  const { training: { committed: entry } } = evaluating(["w-a"], plan);
  const context = { plan, now: 0, limits: LIMITS };
  const fresh = newTraining({ generation: 1, members: [] }, 2, 0);
  const stored = { adapter: false, state: false };
  const at = { entry: entry!, sequence: 2 };
  assertEquals(resume(context, fresh, at, stored, []).training.phase, "evaluate");
  const known = [{ step: 1, loss: 2, accuracy: 0 }];
  const { training } = resume(context, fresh, at, stored, known);
  assertEquals([training.phase, training.step, training.selection.best], ["waiting", 2, {
    step: 1,
    value: 2,
  }]);
  // Two evaluations without improvement: the job was about to end.
  const over = { entry: { ...entry!, step: 3 }, sequence: 4 };
  const losses = [1, 2, 3].map((loss, index) => ({ step: index + 1, loss, accuracy: 0 }));
  const ended =
    resume({ ...context, plan: { ...plan, totalSteps: 9 } }, fresh, over, stored, losses).training;
  assertEquals([ended.phase, ended.lastStep], ["checkpoint", 3]);
});

Deno.test("a job without evaluation never has one", () => {
  const driver = createDriver();
  driver.fleet(member("w-a", { step: 0, digest: INITIAL }));
  driver.stored();
  driver.doStep();
  assertEquals([driver.training.phase, handedOut(driver.effects)], ["compute", []]);
});
