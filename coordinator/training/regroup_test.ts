import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { LIMITS } from "../../shared/protocol/limits.ts";
import type { StepEffect } from "./state/effects.ts";
import { digestOf, type Driver, member, PLAN, started, summarize } from "./step_fixture.ts";

const plan = { ...PLAN, microBatchCountOf: () => 4 };
const HELD = { step: 1, digest: digestOf("step 1") };
const a = member("w-a", HELD);
const b = member("w-b", HELD);
const c = member("w-c", HELD);

/** At step 2 with two of four micro-batches counted: 0 for w-a, 1 for w-b. */
function midway(): Driver {
  const driver = started(["w-a", "w-b"], { plan });
  driver.doStep();
  driver.claim("w-a", 0);
  driver.claim("w-b", 1);
  driver.drain();
  return driver;
}

function requeued(effects: readonly StepEffect[]) {
  const effect = effects.find((effect) => effect.type === "requeue");
  return effect === undefined ? null : { indices: effect.indices, purge: effect.purge };
}

Deno.test("a member is lost while others compute: they keep their sums and redo its part", () => {
  const driver = midway();
  const { generation, attempt } = driver.training;
  driver.fleet({ ...a, busy: { step: 2, attempt, index: 2 } });
  assertEquals([driver.training.attempt, driver.training.phase], [attempt, "compute"]);
  assertGreater(driver.training.generation, generation);
  assertEquals(driver.training.ledger.entries.map((entry) => entry?.worker ?? null), [
    "w-a",
    null,
    null,
    null,
  ]);
  const effects = driver.drain();
  assertMatch(
    summarize(effects)[0]!,
    /^warn: Lost w-b: the other one goes on with step 2, and 1 of 4 micro-batches are done again\.$/,
  );
  // 2 is in the hands of w-a, 3 was still on the queue or on its way to the lost one.
  assertEquals(requeued(effects), { indices: [1, 3], purge: true });
  assertEquals(driver.claim("w-b", 2), "stale");
  for (const index of [1, 2, 3]) assertEquals(driver.claim("w-a", index, { claim: 10 + index }), "counted");
  assertEquals(driver.training.phase, "reduce");
});

Deno.test("a member is lost in the round: a new round, after its part is redone", () => {
  const driver = midway();
  driver.claim("w-a", 2);
  driver.claim("w-a", 3);
  assertEquals(driver.training.phase, "reduce");
  driver.update("w-a", digestOf("with b"));
  const { generation } = driver.training;
  driver.drain();
  driver.fleet(a);
  assertEquals([driver.training.phase, requeued(driver.drain())?.indices], ["compute", [1]]);
  driver.claim("w-a", 1, { claim: 9 });
  assertEquals(driver.training.phase, "reduce");
  // An update of the round before is none of this one.
  driver.apply({
    type: "update",
    report: {
      ...{
        worker: "w-a",
        incarnation: "i-w-a",
        term: 1,
        step: 2,
        attempt: 1,
        generation,
        digest: digestOf("with b"),
      },
      ...{ gradientNorm: 1, gradientBytesSent: 0, check: null },
    },
  });
  assertEquals(driver.training.phase, "reduce");
  driver.update("w-a", digestOf("alone"));
  assertEquals(driver.training.pending?.digest, digestOf("alone"));
});

Deno.test("a lost member with nothing in its sums: the others go straight into a new round", () => {
  const driver = midway();
  driver.fleet(a, b, c);
  driver.claim("w-a", 2);
  driver.claim("w-a", 3);
  const { generation } = driver.training;
  driver.drain();
  driver.fleet(a, b);
  assertEquals(driver.training.phase, "reduce");
  assertGreater(driver.training.generation, generation);
  assertEquals(summarize(driver.drain()).length, 1);
});

Deno.test("a worker that has the newest state takes part at once, but not in a round that has begun", () => {
  const driver = midway();
  const { attempt } = driver.training;
  driver.fleet(a, b, { ...c, job: null });
  assertEquals(driver.training.members.length, 2);
  driver.fleet(a, b, c);
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-a", "w-b", "w-c"]);
  assertEquals([driver.training.attempt, driver.training.ledger.countedCount], [attempt, 2]);
  assertEquals(driver.claim("w-c", 2), "counted");
  driver.claim("w-a", 3);
  driver.fleet(a, b, c, member("w-d", HELD));
  assertEquals([driver.training.phase, driver.training.members.length], ["reduce", 3]);
});

Deno.test("the same worker under a new incarnation: its part is redone, and it helps", () => {
  const driver = midway();
  driver.fleet(a, { ...b, incarnation: "i-back" });
  assertEquals(driver.training.members.map(({ incarnation }) => incarnation), ["i-w-a", "i-back"]);
  assertEquals(driver.training.ledger.entries.map((entry) => entry?.worker ?? null), [
    "w-a",
    null,
    null,
    null,
  ]);
});

Deno.test("all members are gone: a new attempt, from the committed state", () => {
  const driver = midway();
  driver.fleet();
  assertEquals(driver.training.phase, "waiting");
  driver.fleet({ ...b, incarnation: "i-back" });
  assertEquals([driver.training.attempt, driver.training.ledger.countedCount], [2, 0]);
});

Deno.test("the last micro-batches are handed out twice if a member is idle, ever more rarely", () => {
  const driver = midway();
  driver.claim("w-a", 2);
  const { attempt } = driver.training;
  driver.fleet(a, { ...b, busy: { step: 2, attempt, index: 3 } });
  driver.drain();
  const wait = (milliseconds: number) => {
    driver.now += milliseconds;
    driver.apply({ type: "tick" });
    return requeued(driver.drain());
  };
  assertEquals(wait(LIMITS.hedgeMs - 1), null);
  assertEquals(wait(1), { indices: [3], purge: false });
  assertEquals(wait(LIMITS.hedgeMs), null);
  assertEquals(wait(LIMITS.hedgeMs), { indices: [3], purge: false });
  assertEquals(driver.claim("w-a", 3), "counted");
  assertEquals(driver.claim("w-b", 3, { claim: 77 }), "stale");
});

Deno.test("nothing is handed out twice while all members compute, or while much is left", () => {
  const driver = midway();
  const { attempt } = driver.training;
  driver.now += 10 * LIMITS.hedgeMs;
  driver.fleet({ ...a, busy: { step: 2, attempt, index: 2 } }, {
    ...b,
    busy: { step: 2, attempt, index: 3 },
  });
  driver.apply({ type: "tick" });
  assertEquals(requeued(driver.drain()), null);
});
