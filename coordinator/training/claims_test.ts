import { assertEquals, assertNotEquals } from "@std/assert";
import { exponentsFrom } from "../../shared/protocol/exponents.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { decodeFloats } from "../../shared/protocol/messages_codec.ts";
import { resume } from "./commits.ts";
import { newTraining } from "./state/training.ts";
import { digestOf, type Driver, PLAN, started } from "./step_fixture.ts";

Deno.test("a claim with the maxima of a different adapter is refused", () => {
  const driver = started(["w-a"]);
  const { term, step, attempt } = driver.training;
  const effects = driver.apply({
    type: "report",
    report: {
      ...{ worker: "w-a", incarnation: "i-w-a", term, step, attempt, index: 0, claim: 0 },
      ...{
        lossSum: 1,
        labelCount: 1,
        correctCount: 1,
        maxAbs: "AACAPw==",
        computeMs: 1,
        gradientDigest: null,
      },
      ...{ gradientCheck: null, audit: null },
    },
  });
  assertEquals(effects, [{ type: "verdict", verdict: "unknown" }]);
});

/** Claims micro-batches 0 and 1 of the current attempt with these maxima of the two tensors. */
function claimBoth(driver: Driver, ...maxima: readonly (readonly [number, number])[]) {
  maxima.forEach((maxAbs, index) => driver.claim(driver.training.members[0]!.worker, index, { maxAbs }));
}

function finishStep(driver: Driver) {
  driver.update("w-a", digestOf(`step ${driver.training.step}`));
  driver.stored();
}

Deno.test("exponents follow from the first micro-batch, whatever the others of the probe are, and whoever computes it", () => {
  const exponentsAfter = (
    names: readonly string[],
    claims: readonly (readonly [string, number, number])[],
  ) => {
    const driver = started(names);
    for (const [worker, index, max] of claims) driver.claim(worker, index, { max });
    assertEquals([driver.training.attempt, driver.training.phase], [2, "compute"]);
    return driver.training.exponents;
  };
  const alone = exponentsAfter(["w-a"], [["w-a", 0, 3]]);
  assertEquals(alone, exponentsFrom(Float32Array.of(3, 1.5), 2, LIMITS.exponentHeadroomBits));
  assertEquals(exponentsAfter(["w-a", "w-b"], [["w-a", 1, 1e9], ["w-b", 0, 3]]), alone);
});

Deno.test("a first micro-batch whose gradient is 0 shows nothing: the others do", () => {
  const driver = started(["w-a"]);
  driver.claim("w-a", 0, { max: 0 });
  assertEquals(driver.training.attempt, 1);
  driver.claim("w-a", 1, { max: 3 });
  assertEquals(driver.training.attempt, 2);
  const exponents = exponentsFrom(Float32Array.of(3, 1.5), 2, LIMITS.exponentHeadroomBits);
  assertEquals(driver.training.exponents, exponents);
});

Deno.test("the first step that may show a tensor's gradient begins with a probe; its maxima join those of before", () => {
  const driver = started(["w-a"]);
  driver.claim("w-a", 0, { maxAbs: [0, 8] });
  claimBoth(driver, [0, 8], [0, 8]);
  assertEquals(driver.training.phase, "reduce");
  finishStep(driver);
  assertEquals([driver.training.step, driver.training.attempt, driver.training.exponents], [2, 1, null]);
  driver.claim("w-a", 0, { maxAbs: [1, 2] });
  assertEquals([driver.training.step, driver.training.attempt], [2, 2]);
  const foreseen = Float32Array.of(1, 8 * LIMITS.exponentKeptShare);
  assertEquals(driver.training.exponents, exponentsFrom(foreseen, 2, LIMITS.exponentHeadroomBits));
  claimBoth(driver, [1, 2], [2 ** LIMITS.exponentHeadroomBits, 2]);
  assertEquals(driver.training.phase, "reduce");
  finishStep(driver);
  assertEquals([driver.training.step, driver.training.attempt], [3, 1]);
  assertNotEquals(driver.training.exponents, null);
});

Deno.test("a step at rate 0 moves nothing, so that the step after it needs no probe, but the one after that does", () => {
  const schedule = { ...PLAN.schedule, lr_scheduler_type: "linear", warmup_steps: 2 } as const;
  const driver = started(["w-a"], { plan: { ...PLAN, schedule } });
  driver.claim("w-a", 0, { maxAbs: [0, 8] });
  for (const step of [1, 2]) {
    assertEquals(driver.training.step, step);
    assertEquals(driver.training.exponents?.[0], null);
    claimBoth(driver, [0, 8], [0, 8]);
    finishStep(driver);
  }
  assertEquals([driver.training.step, driver.training.exponents], [3, null]);
});

Deno.test("a large gradient is remembered by the steps after it, less with each", () => {
  const plan = { ...PLAN, totalSteps: 9, checkpointSteps: [9] };
  const driver = started(["w-a"], { plan });
  const kept: number[] = [];
  for (const max of [64, 1, 1, 1]) {
    if (driver.training.exponents === null) driver.claim("w-a", 0, { max });
    claimBoth(driver, [max, 1], [1, 1]);
    finishStep(driver);
    kept.push(decodeFloats(driver.training.committed!.maxAbs)[0]!);
  }
  const share = LIMITS.exponentKeptShare;
  assertEquals(kept, [64, 64 * share, 64 * share ** 2, 64 * share ** 3]);
  // The restarted coordinator has nothing but the commit.
  const entry = driver.training.committed!;
  const fresh = newTraining({ generation: 9, members: [] }, 2, 0);
  const context = { plan, now: 0, limits: LIMITS };
  const resumed = resume(context, fresh, { sequence: 5, entry }, { adapter: false, state: false }).training;
  assertEquals(resumed.exponents, driver.training.exponents);
});
