/** Steps whose work items are inner loops (decision 0011). */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { trainingSchema } from "../../shared/job/job_spec_schema.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { sumCap } from "../../shared/protocol/exponents.ts";
import { updateBound } from "../planning/schedule/update_bound.ts";
import { localPlanOf } from "../planning/schedule/local_plan.ts";
import { digestOf, INITIAL, member, PLAN, started } from "./step_fixture.ts";
import { stepStateOf } from "./state/announcement.ts";
import type { TrainingPlan } from "./state/plan.ts";

const training = trainingSchema.parse({
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
  learning_rate: 1e-3,
});

function planOf(change: Partial<typeof training> = {}, inner_steps = 25): TrainingPlan {
  const local_steps = { inner_steps, replicas: 2, outer_learning_rate: 0.7, outer_momentum: 0.9 };
  const local = localPlanOf({ training: { ...training, ...change }, fleet: { local_steps } }, 150, () => 1)!;
  return {
    ...PLAN,
    local,
    totalSteps: local.totalSteps,
    microBatchCountOf: (step) => local.innerLoopsOf(step).length,
  };
}

Deno.test("exponents are known before the first step: they fit AdamW's largest update, and hardly more", () => {
  const plan = planOf();
  const driver = started(["a"], { plan });
  const furthest = updateBound(new Array(25).fill(1e-3), training);
  assertEquals(driver.training.attempt, 1);
  const { exponents } = stepStateOf(plan, driver.training, LIMITS);
  for (const exponent of exponents!) {
    const largest = 2 ** exponent! * sumCap(2);
    assert(4 * furthest <= largest && largest < 8 * furthest, `${largest} for moves of up to ${furthest}`);
  }
  driver.claim("a", 0, { max: 4 * furthest });
  driver.claim("a", 1, { max: furthest });
  assertEquals(driver.training.phase, "reduce");
  driver.update("a", digestOf("step 1"));
  driver.stored();
  assertEquals([driver.training.step, driver.training.attempt], [2, 1]);
  // They went four times and twice as far as was foreseen, and may go twice as far as that.
  assertEquals(driver.training.exponents, [exponents![0]! + 3, exponents![1]! + 2]);
});

Deno.test("an inner loop that exceeds the bound repeats its attempt", () => {
  const driver = started(["a"], { plan: planOf() });
  driver.claim("a", 0, { max: 1 });
  driver.claim("a", 1, { max: 1 });
  assertEquals([driver.training.step, driver.training.attempt, driver.training.phase], [1, 2, "compute"]);
  driver.claim("a", 0, { max: 1 });
  driver.claim("a", 1, { max: 1 });
  assertEquals(driver.training.phase, "reduce");
});

Deno.test("without a bound on an inner loop the first attempt finds the maxima as ever", () => {
  const driver = started(["a"], { plan: planOf({ adam_beta2: 0 }) });
  assertEquals(driver.training.exponents, null);
  driver.claim("a", 0);
  driver.claim("a", 1);
  assertEquals([driver.training.attempt, driver.training.exponents?.length], [2, 2]);
});

Deno.test("a step at rate 0, as a warm-up begins with, moves nothing and needs no exponents", () => {
  const driver = started(["a"], { plan: planOf({ warmup_steps: 4, lr_scheduler_type: "linear" }, 1) });
  assertEquals(driver.training.exponents, [null, null]);
  driver.claim("a", 0, { max: 0 });
  driver.claim("a", 1, { max: 0 });
  assertEquals([driver.training.attempt, driver.training.phase], [1, "reduce"]);
});

Deno.test("the announced learning rate is that of the last inner step", () => {
  const plan = planOf({ lr_scheduler_type: "linear" });
  const driver = started(["a"], { plan });
  assertEquals(stepStateOf(plan, driver.training, LIMITS).learningRate, 1e-3 * (75 - 24) / 75);
});

Deno.test("heartbeats that progress within an inner loop extend the deadline; others do not", () => {
  const driver = started(["a"], { plan: planOf() });
  const held = { step: 0, digest: INITIAL };
  const busy = { step: 1, attempt: 1, index: 0 };
  const beat = (microBatchesDone: number) => driver.fleet({ ...member("a", held), busy, microBatchesDone });
  const wait = (ms: number) => {
    driver.now += ms;
    driver.apply({ type: "tick" });
  };
  beat(0);
  for (let done = 1; done <= 5; done++) {
    wait(LIMITS.firstMicroBatchDeadlineMs - 1);
    beat(done);
  }
  assertEquals(driver.training.attempt, 1);
  wait(LIMITS.firstMicroBatchDeadlineMs - 1);
  beat(5);
  wait(1);
  assertEquals(driver.training.attempt, 2);
  const event = driver.effects.find((effect) => effect.type === "event" && effect.level === "warn");
  assertMatch(event?.type === "event" ? event.message : "", /no micro-batch was counted for 600 s/);
});

Deno.test("work on a different attempt, or by a worker that is no member, extends no deadline", () => {
  for (const change of [{ busy: { step: 1, attempt: 2, index: 0 } }, { busy: null }]) {
    const driver = started(["a"], { plan: planOf() });
    const held = { step: 0, digest: INITIAL };
    driver.now += LIMITS.firstMicroBatchDeadlineMs - 1;
    driver.fleet({ ...member("a", held), ...change, microBatchesDone: 7 });
    driver.now += 1;
    driver.apply({ type: "tick" });
    assertEquals(driver.training.attempt, 2);
  }
});
