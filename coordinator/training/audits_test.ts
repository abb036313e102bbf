import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { digestOf, type Driver, member, PLAN, started, summarize } from "./step_fixture.ts";

const AUDITED = { ...PLAN, isAudited: (_step: number, index: number) => index === 0 };
const one = { step: 1, digest: digestOf("step 1") };

/** Step 2 of the workers, whose micro-batch 0 is audited. */
function audited(workers: readonly string[], change: Partial<typeof AUDITED> = {}): Driver {
  const driver = started(workers, { plan: { ...AUDITED, isAudited: () => false } });
  driver.doStep();
  const audited = started(workers, { plan: { ...AUDITED, ...change } });
  audited.training = driver.training;
  audited.drain();
  return audited;
}

/** Who is asked to audit micro-batch 0 now. */
const asked = ({ training }: Driver) =>
  training.assignments.find(({ purpose }) => purpose === "audit") ?? null;

/** Answers the open assignment with bits. */
function answer(driver: Driver, gradient: string | null): string {
  const { worker, id } = asked(driver)!;
  assertEquals(driver.claim(worker, 0, { audit: id, gradient, claim: 50 + id }), "duplicate");
  return worker;
}

Deno.test("equal digests: passed; the round waits for the audit, and the auditor has nothing in its sums", () => {
  const driver = audited(["w-a", "w-b"]);
  assertEquals(driver.claim("w-a", 0, { gradient: "g" }), "counted");
  assertEquals(asked(driver)?.worker, "w-b");
  driver.claim("w-b", 1);
  assertEquals(driver.training.phase, "compute");
  assertEquals(answer(driver, "g"), "w-b");
  assertEquals(driver.training.phase, "reduce");
  assertEquals(driver.training.ledger.entries.map((entry) => entry?.worker), ["w-a", "w-b"]);
  for (const worker of ["w-a", "w-b"]) driver.update(worker, digestOf("x"));
  assertEquals(driver.training.pending?.audits, { passed: 1, failed: 0, skipped: 0 });
});

Deno.test("an auditor's report that is repeated or not awaited changes nothing", () => {
  const driver = audited(["w-a", "w-b", "w-c"]);
  driver.claim("w-a", 0, { gradient: "g" });
  const assignment = asked(driver)!;
  const before = driver.training;
  assertEquals(driver.claim("w-a", 0, { audit: assignment.id, gradient: "h", claim: 9 }), "duplicate");
  assertEquals(
    driver.claim(assignment.worker, 0, { audit: assignment.id + 1, gradient: "h", claim: 9 }),
    "duplicate",
  );
  assertEquals(
    driver.claim(assignment.worker, 1, { audit: assignment.id, gradient: "h", claim: 9 }),
    "duplicate",
  );
  assertEquals(driver.training, before);
  answer(driver, "g");
  const after = driver.training;
  assertEquals(
    driver.claim(assignment.worker, 0, { audit: assignment.id, gradient: "h", claim: 51 }),
    "duplicate",
  );
  assertEquals(driver.training, after);
});

Deno.test("two digests and a third worker's report: the odd worker is quarantined, its work redone", () => {
  for (const liar of ["w-a", "auditor"]) {
    const driver = audited(["w-a", "w-b", "w-c"]);
    driver.claim("w-a", 1);
    driver.claim("w-a", 0, { gradient: liar === "w-a" ? "wrong" : "right" });
    const second = answer(driver, liar === "w-a" ? "right" : "wrong");
    driver.drain();
    const third = answer(driver, "right");
    assert(third !== second && third !== "w-a");
    const odd = liar === "w-a" ? "w-a" : second;
    const effects = driver.drain();
    const found = effects.find((effect) => effect.type === "quarantine")!;
    assertEquals([found.worker, found.until], [odd, "reinstated"]);
    const agreeing = ["w-a", second, third].filter((worker) => worker !== odd).join(" and ");
    assertStringIncludes(
      found.reasons[0]!,
      `its gradient of micro-batch 0 of step 2 has the digest ${
        digestOf("wrong").slice(0, 12)
      }, but ${agreeing} agree`,
    );
    assertMatch(summarize(effects)[1]!, /^error: w-\w is in quarantine until it is reinstated: its gradient/);
    assertEquals(driver.training.members.some(({ worker }) => worker === odd), false);
    const free = driver.training.ledger.entries.flatMap((entry, index) => entry === null ? [index] : []);
    assertEquals(free, liar === "w-a" ? [0, 1] : []);
    assertEquals(driver.training.phase, liar === "w-a" ? "compute" : "reduce");
    assertEquals([driver.training.failedAudits, driver.training.attempt], [1, 1]);
  }
});

Deno.test("two that disagree without a third worker: the one that contradicts itself is wrong", () => {
  const driver = audited(["w-a", "w-b"]);
  driver.claim("w-b", 1);
  driver.claim("w-a", 0, { gradient: "g" });
  answer(driver, "h");
  assertEquals(answer(driver, "g"), "w-a");
  assertEquals(answer(driver, "i"), "w-b");
  assertEquals(driver.training.strikes.size, 0);
  const found = driver.drain().find((effect) => effect.type === "quarantine")!;
  assertEquals(found.worker, "w-b");
  assertMatch(found.reasons[0]!, /it computed micro-batch 0 of step 2 twice, with the digests/);
  assertEquals(driver.training.audits.get(0)?.status, "passed");
});

Deno.test("two that keep disagreeing: the job fails and names both, unless it is set to continue", () => {
  for (const failsUnresolved of [true, false]) {
    const driver = audited(["w-a", "w-b"], { failsUnresolved });
    driver.claim("w-b", 1);
    driver.claim("w-a", 0, { gradient: "g" });
    for (const bits of ["h", "g", "h"]) answer(driver, bits);
    const end = driver.drain().at(-1)!;
    const message = end.type === "failed" || end.type === "event" ? end.message : "";
    assertMatch(message, /icro-batch 0 of step 2 has different bits .*\(w-a has \w{12}, w-b has \w{12}\)/);
    assertEquals(
      [end.type, driver.training.phase],
      failsUnresolved ? ["failed", "failed"] : ["event", "reduce"],
    );
    assertEquals(driver.training.audits.get(0)?.status, failsUnresolved ? "open" : "skipped");
  }
});

Deno.test("a worker that disagreed and is gone proves nothing: the audit is skipped, with an event", () => {
  const driver = audited(["w-a", "w-b"]);
  driver.claim("w-a", 1);
  driver.claim("w-a", 0, { gradient: "g" });
  answer(driver, "h");
  driver.fleet(member("w-a", one));
  answer(driver, "g");
  assertEquals([driver.training.audits.get(0)?.status, driver.training.phase], ["skipped", "reduce"]);
  assertMatch(summarize(driver.drain()).at(-1)!, /not all of them are still members/);
});

Deno.test("a worker without a digest agrees with none, not even with a different worker without one", () => {
  const driver = audited(["w-a", "w-b", "w-c", "w-d"]);
  driver.claim("w-a", 0);
  const second = answer(driver, null);
  answer(driver, "g");
  assertEquals(driver.training.members.length, 4);
  answer(driver, "g");
  assertEquals([...driver.training.quarantined].sort(), ["w-a", second].sort());
});

Deno.test("an auditor whose gradient is not finite is wrong: it gets a strike, and a different worker is asked", () => {
  const driver = audited(["w-a", "w-b", "w-c"]);
  driver.claim("w-b", 1);
  driver.claim("w-a", 0, { gradient: "g" });
  const auditors = [0, 1].map((time) => {
    const { worker, id } = asked(driver)!;
    driver.claim(worker, 0, {
      audit: id,
      gradient: "NaN",
      lossSum: time === 0 ? null : 2,
      max: NaN,
      claim: 9,
    });
    return worker;
  });
  assertEquals(auditors.toSorted(), ["w-b", "w-c"]);
  // Equal bits of two gradients that are not finite prove nothing against a finite one.
  assertEquals([driver.training.quarantined.size, driver.training.failedAudits], [0, 0]);
  assertEquals([driver.training.audits.get(0)?.status, driver.training.phase], ["skipped", "reduce"]);
  for (const worker of auditors) {
    assertEquals(driver.training.strikes.get(worker), [
      "its gradient of micro-batch 0 of step 2 is not finite, that of w-a is",
    ]);
  }
});

Deno.test("only workers with the same GPU audit: without one the audit is skipped", () => {
  const driver = audited(["w-a", "w-b"]);
  driver.fleet({ ...member("w-a", one), gpu: "a different GPU" }, member("w-b", one));
  driver.claim("w-a", 0, { gradient: "g" });
  assertEquals([asked(driver), driver.training.audits.get(0)?.status], [null, "skipped"]);
  driver.claim("w-b", 1);
  assertEquals(driver.training.phase, "reduce");
});

Deno.test("the auditor is gone: a different worker is asked; without one the audit is skipped", () => {
  const driver = audited(["w-a", "w-b", "w-c"]);
  driver.claim("w-a", 0, { gradient: "g" });
  driver.claim("w-a", 1);
  const first = asked(driver)!.worker;
  const other = first === "w-b" ? "w-c" : "w-b";
  driver.fleet(member("w-a", one), member(other, one));
  assertEquals(asked(driver)?.worker, other);
  driver.fleet(member("w-a", one));
  assertEquals([driver.training.audits.get(0)?.status, driver.training.phase], ["skipped", "reduce"]);
});

Deno.test("the audited worker is gone: so is the audit, until its micro-batch is counted again", () => {
  const driver = audited(["w-a", "w-b", "w-c"]);
  driver.claim("w-a", 0, { gradient: "g" });
  const assignment = asked(driver)!;
  driver.fleet(member("w-b", one), member("w-c", one));
  assertEquals([driver.training.audits.size, asked(driver)], [0, null]);
  // An auditor's late report is not about the micro-batch that was released.
  driver.claim(assignment.worker, 0, { audit: assignment.id, gradient: "g", claim: 70 });
  assertEquals(driver.training.ledger.entries[0], null);
  driver.claim("w-b", 0, { gradient: "g", claim: 71 });
  assertEquals(asked(driver)?.worker, "w-c");
});

Deno.test("no answer: the audit is skipped after a while, and the auditor gets a strike", () => {
  const driver = audited(["w-a", "w-b"]);
  driver.claim("w-a", 0, { gradient: "g" });
  driver.claim("w-a", 1);
  driver.now += LIMITS.auditMs - 1;
  driver.apply({ type: "tick" });
  assertEquals(driver.training.phase, "compute");
  driver.drain();
  driver.now += 1;
  driver.apply({ type: "tick" });
  assertEquals([driver.training.phase, driver.training.audits.get(0)?.status], ["reduce", "skipped"]);
  assertEquals(summarize(driver.drain()), [
    "warn: Audits of step 2 are skipped: nothing came from w-b in 15 s.",
  ]);
  assertEquals(driver.training.strikes.get("w-b"), ["step 2: it did not compute an audit in 15 s"]);
});
