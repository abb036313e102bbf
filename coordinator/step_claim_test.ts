import { assert, assertEquals, assertMatch } from "@std/assert";
import { started, words } from "./step_fixture.ts";

Deno.test("NaN from one worker only: another one's gradient counts, and the first is named", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  driver.drain();
  assertEquals(driver.claim("w-a", 0, { lossSum: null }), "duplicate");
  const effects = driver.drain();
  assertMatch(words(effects)[1]!, /not finite on w-a; it is tried again/);
  assertEquals(effects[2], { type: "requeue", step: 2, attempt: 1, indices: [0], time: 1, purge: false });
  assertEquals(driver.claim("w-b", 0, { claim: 4 }), "counted");
  assertMatch(
    words(driver.drain())[1]!,
    /^warn: w-a computed a gradient of micro-batch 0 that is not finite/,
  );
  assertEquals(driver.training.strikes.get("w-a")?.length, 1);
});

Deno.test("NaN on two workers: the job fails and names the micro-batch", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  driver.claim("w-a", 1, { max: Infinity });
  driver.drain();
  driver.claim("w-b", 1, { max: NaN });
  const failure = driver.drain().at(-1)!;
  assert(failure.type === "failed");
  assertEquals(failure.code, "gpu_failure");
  assertMatch(failure.message, /micro-batch 1 of step 2 .*tried by w-a, w-b/);
});

Deno.test("NaN with nobody else to ask: a second try decides", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  driver.claim("w-a", 0, { lossSum: null });
  assertEquals(driver.training.phase, "compute");
  driver.claim("w-a", 0, { lossSum: null });
  assertEquals(driver.training.phase, "failed");
});

Deno.test("a claim whose maxima are of another adapter is refused", () => {
  const driver = started(["w-a"]);
  const { step, attempt } = driver.training;
  const effects = driver.apply({
    type: "report",
    report: {
      ...{ worker: "w-a", incarnation: "i-w-a", step, attempt, index: 0, claim: 0 },
      ...{ lossSum: 1, targetCount: 1, maxAbs: "AACAPw==", computeMs: 1, gradientDigest: null, audit: null },
    },
  });
  assertEquals(effects, [{ type: "verdict", verdict: "unknown" }]);
});
