import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { LIMITS, lostAt } from "../../shared/protocol/limits.ts";
import { createDriver, digestOf, INITIAL, member, PLAN, started, summarize } from "./step_fixture.ts";
import { resume } from "./commits.ts";
import { newTraining } from "./state/training.ts";
import { startAttempt } from "./waiting.ts";
import { stepStateOf } from "./state/announcement.ts";
import { stepStateSchema } from "../../shared/protocol/messages_coordinator.ts";

const CONTEXT = { plan: PLAN, now: 0, limits: LIMITS };
const NOTHING = { adapter: false, state: false };
const AT_START = { step: 0, digest: INITIAL };

Deno.test("the initial adapter is that of the first loaded worker, and a commit like any other", () => {
  const driver = createDriver();
  driver.fleet(
    member("w-a", null),
    member("w-b", AT_START),
    member("w-c", { step: 0, digest: digestOf("odd") }),
  );
  assertEquals(driver.training.phase, "commit");
  assertEquals(driver.training.pending?.digest, INITIAL);
  assertEquals(summarize(driver.drain()), ["append"]);
  driver.stored();
  // w-c has a different initial adapter: the attempt waits until it has recovered.
  assertEquals(driver.training.phase, "waiting");
  assertEquals([...driver.training.holders], ["i-w-b"]);
  driver.fleet(member("w-a", null), member("w-b", AT_START), member("w-c", AT_START));
  assertEquals(driver.training.phase, "compute");
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-b", "w-c"]);
  assertEquals(summarize(driver.drain()), ["enqueue"]);
});

Deno.test("a step from its first attempt to the next step's", () => {
  const driver = started(["w-a", "w-b"]);
  assertEquals([driver.training.step, driver.training.attempt, driver.training.phase], [1, 1, "compute"]);
  assertEquals(driver.training.exponents, null);
  driver.drain();
  assertEquals(driver.claim("w-b", 1), "counted");
  assertEquals(driver.training.attempt, 1);
  assertEquals(driver.claim("w-a", 0), "counted");
  // The first micro-batch has shown the maxima.
  assertEquals([driver.training.attempt, driver.training.phase], [2, "compute"]);
  assertEquals(driver.training.exponents?.length, 2);
  driver.claim("w-b", 0);
  driver.claim("w-a", 1);
  assertEquals(driver.training.phase, "reduce");
  const announced = stepStateOf(PLAN, driver.training, LIMITS);
  assertEquals(stepStateSchema.parse(announced), announced);
  assertEquals([announced.ledger, announced.labelCount], [[1, 0], 8]);
  driver.update("w-a", digestOf("one"));
  assertEquals(driver.training.phase, "reduce");
  driver.update("w-b", digestOf("one"));
  assertEquals(driver.training.phase, "commit");
  assertEquals(driver.training.pending?.loss, 4 / 8);
  driver.drain();
  driver.stored();
  assertEquals(summarize(driver.drain()), ["committed", "enqueue"]);
  assertEquals([driver.training.step, driver.training.attempt, driver.training.phase], [2, 1, "compute"]);
  // The same maxima fit: no second attempt.
  driver.claim("w-a", 0);
  driver.claim("w-a", 1);
  assertEquals(driver.training.phase, "reduce");
});

Deno.test("a gradient that outgrows its exponent: the attempt is repeated with exponents of its own maxima", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  const before = driver.training.exponents!;
  driver.claim("w-a", 0, { max: 1e6 });
  assertEquals(driver.training.phase, "compute");
  driver.claim("w-a", 1);
  assertStringIncludes(driver.reason, "attempt 2 begins");
  assert(driver.training.exponents![0]! > before[0]!);
  driver.claim("w-a", 0, { max: 1e6 });
  driver.claim("w-a", 1);
  assertEquals(driver.training.phase, "reduce");
});

Deno.test("each micro-batch is counted once", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  assertEquals(driver.claim("w-a", 0, { claim: 5 }), "counted");
  assertEquals(driver.claim("w-a", 0, { claim: 5 }), "counted");
  assertEquals(driver.claim("w-a", 0, { claim: 6 }), "duplicate");
  assertEquals(driver.claim("w-b", 0, { claim: 5 }), "duplicate");
  assertEquals(driver.claim("w-b", 7), "unknown");
  assertEquals(driver.claim("w-z", 1), "stale");
  assertEquals(driver.claim("w-b", 1, { claim: 9 }), "counted");
  // The answer to the last claim may get lost: asked again, it is still counted.
  assertEquals(driver.claim("w-b", 1, { claim: 9 }), "counted");
  assertEquals(driver.claim("w-a", 1, { claim: 8 }), "stale");
});

Deno.test("the same worker under a new incarnation is not the same member", () => {
  const driver = started(["w-a"]);
  driver.fleet({ ...member("w-a", AT_START), incarnation: "i-new" });
  assertEquals([driver.training.attempt, driver.training.members[0]?.incarnation], [2, "i-new"]);
});

Deno.test("updates that differ: nothing is committed, and a clear minority gets strikes until it is dropped", () => {
  const driver = started(["w-a", "w-b", "w-c"]);
  driver.doStep();
  for (let time = 1; time <= LIMITS.strikesUntilDropped; time++) {
    driver.claim("w-a", 0);
    driver.claim("w-a", 1);
    driver.drain();
    driver.update("w-a", digestOf("x"));
    driver.update("w-b", digestOf("y"));
    driver.update("w-c", digestOf("x"));
    assertMatch(summarize(driver.drain())[0]!, /the updates differ: w-a has .*, w-b has /);
  }
  assertEquals(driver.training.committed?.step, 1);
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-a", "w-c"]);
});

Deno.test("a failure of the attempt ends it; of an earlier one it changes nothing", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  const report = { worker: "w-a", incarnation: "i-w-a", term: 1, step: 2, attempt: 1, gradientBytesSent: 0 };
  driver.apply({ type: "failure", report: { ...report, reason: "no GPU", suspects: ["w-b", "w-z"] } });
  assertEquals(driver.training.attempt, 2);
  // One accuser without a second one.
  assertEquals([...driver.training.strikes], []);
  driver.apply({ type: "failure", report: { ...report, reason: "no GPU", suspects: ["w-b"] } });
  // The same numbers under a different coordinator, or before a pause.
  const past = { ...report, attempt: 2, term: 0, reason: "no GPU", suspects: ["w-b"] };
  driver.apply({ type: "failure", report: past });
  assertEquals([driver.training.attempt, driver.training.accusations.length], [2, 1]);
});

Deno.test("a worker that joins during a step recovers before the next one, which waits for it", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  const one = { step: 1, digest: digestOf("step 1") };
  driver.fleet(member("w-a", one), member("w-b", AT_START));
  assertEquals(driver.training.members.length, 1);
  driver.doStep();
  assertEquals([driver.training.phase, driver.training.step], ["waiting", 3]);
  const two = { step: 2, digest: digestOf("step 2") };
  assertEquals(stepStateOf(PLAN, driver.training, LIMITS).holders, ["w-a"]);
  driver.fleet(member("w-a", two), member("w-b", two));
  assertEquals([driver.training.phase, driver.training.members.length], ["compute", 2]);
});

Deno.test("a worker that does not recover in time is waited for once", () => {
  const driver = started(["w-a"]);
  driver.fleet(member("w-a", AT_START), member("w-b", { step: 0, digest: digestOf("odd") }));
  driver.doStep();
  assertEquals(driver.training.phase, "waiting");
  driver.now += LIMITS.transferBaseMs + 1000;
  driver.apply({ type: "tick" });
  assertEquals([driver.training.phase, driver.training.members.length], ["compute", 1]);
  driver.apply({
    type: "failure",
    report: {
      ...{ worker: "w-a", incarnation: "i-w-a", term: 1, step: 2, attempt: 1, gradientBytesSent: 0 },
      ...{ reason: "again", suspects: [] },
    },
  });
  assertEquals(driver.training.phase, "compute");
});

Deno.test("a draining worker finishes its attempt and joins no further one", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  const one = { step: 1, digest: digestOf("step 1") };
  driver.fleet({ ...member("w-a", one), draining: true }, member("w-b", one));
  assertEquals([driver.training.phase, driver.training.members.length], ["compute", 2]);
  driver.doStep();
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-b"]);
});

Deno.test("deadlines: no micro-batch, no update", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  driver.now += LIMITS.microBatchDeadlineMs - 1;
  driver.apply({ type: "tick" });
  assertEquals(driver.training.attempt, 1);
  driver.now += 1;
  driver.apply({ type: "tick" });
  assertEquals(driver.training.attempt, 2);
  driver.claim("w-a", 0);
  driver.claim("w-a", 1);
  driver.update("w-a", digestOf("x"));
  driver.now += 2 * LIMITS.transferBaseMs + 1000;
  driver.drain();
  driver.apply({ type: "tick" });
  assertMatch(summarize(driver.drain())[0]!, /w-b did not finish the all-reduce/);
  assertEquals([driver.training.attempt, driver.training.strikes.get("w-b")?.length], [3, 1]);
});

Deno.test("a blackout counts in no deadline, and failures due to it are no worker's fault", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  driver.claim("w-a", 0);
  driver.claim("w-a", 1);
  assertEquals(driver.training.phase, "reduce");
  const { attempt } = driver.training;
  // The broker was away, or the coordinator slept.
  driver.now += 60_000;
  driver.apply({ type: "blackout", milliseconds: 60_000 });
  driver.apply({ type: "tick" });
  assertEquals([driver.training.phase, driver.training.attempt], ["reduce", attempt]);
  const { term, step } = driver.training;
  const report = { worker: "w-a", incarnation: "i-w-a", term, step, attempt, gradientBytesSent: 0 };
  const reason = "chunks are missing from w-b";
  driver.apply({ type: "failure", report: { ...report, reason, suspects: ["w-b"] } });
  assertEquals([driver.training.attempt, driver.training.strikes.size], [attempt + 1, 0]);
  assertEquals(driver.training.accusations, []);
  const next = { ...report, attempt: attempt + 1, reason, suspects: ["w-b"] };
  driver.apply({ type: "failure", report: next });
  assertEquals(driver.training.accusations.map(({ accused }) => accused), ["w-b"]);
});

Deno.test("a laptop that slept in the middle of a micro-batch does not extend later deadlines", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  const hours = 8 * 3_600_000;
  driver.now += hours;
  driver.apply({ type: "blackout", milliseconds: hours });
  driver.claim("w-a", 0, { computeMs: hours + 2000 });
  assertEquals(driver.training.slowestMs, 2000);
  driver.claim("w-a", 1, { computeMs: 3000 });
  assertEquals(driver.training.slowestMs, 3000);
});

Deno.test("all workers gone: the job reports it once, waits, and continues with a worker that still has its state", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  driver.drain();
  driver.fleet();
  driver.now += lostAt(0, LIMITS);
  driver.apply({ type: "tick" });
  driver.apply({ type: "tick" });
  const events = summarize(driver.drain());
  assertEquals(events.length, 2, events.join());
  assertMatch(events[1]!, /All workers are gone: the job waits at step 2/);
  driver.fleet({ ...member("w-a", { step: 1, digest: digestOf("step 1") }), incarnation: "i-back" });
  assertEquals([driver.training.phase, driver.training.step], ["compute", 2]);
});

Deno.test("fresh workers alone never replace the state: after a while the job starts again", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  driver.fleet(member("w-b", AT_START));
  assertEquals(driver.training.phase, "waiting");
  driver.drain();
  driver.now += LIMITS.stateLossGraceMs;
  driver.apply({ type: "tick" });
  assertEquals(summarize(driver.drain()), ["restart"]);
});

Deno.test("a job whose workers are known to be gone starts again as soon as a fresh one is there", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  driver.fleet(member("w-b", AT_START));
  const context = { ...CONTEXT, now: driver.now, limits: { ...LIMITS, stateLossGraceMs: 0 } };
  const { training, effects, reason } = startAttempt(context, driver.training)!;
  assertEquals([training.phase, effects], ["failed", [{ type: "restart", reason }]]);
  assertEquals(reason, "no worker holds the state of step 1 any more");
});

Deno.test("a job that no worker can load fails with the worker's reason; one that can is enough", () => {
  const failed = (worker: string) => ({
    ...member(worker, null),
    job: {
      ...{ phase: "failed" as const, jobId: PLAN.jobId, startId: PLAN.startId },
      ...{ code: "does_not_fit" as const, message: "9 GiB do not fit into 8 GiB", param: "model" },
    },
  });
  const driver = createDriver();
  driver.fleet(failed("w-a"), member("w-b", null));
  assertEquals(summarize(driver.drain()), ["warn: w-a cannot take part: 9 GiB do not fit into 8 GiB"]);
  driver.fleet(failed("w-a"), failed("w-b"));
  const effects = driver.drain();
  assertEquals(summarize(effects), ["warn: w-b cannot take part: 9 GiB do not fit into 8 GiB", "failed"]);
  const end = effects[1]!;
  assert(end.type === "failed" && end.code === "does_not_fit" && end.param === "model");
});

Deno.test("too many attempts fail the job", () => {
  const driver = started(["w-a"], { limits: { ...LIMITS, maxAttemptsPerStep: 2 } });
  driver.fleet({ ...member("w-a", AT_START), incarnation: "i-2" });
  driver.drain();
  driver.fleet({ ...member("w-a", AT_START), incarnation: "i-3" });
  assertEquals(summarize(driver.drain()).at(-1), "failed");
  assertStringIncludes(driver.reason, "step 1 could not be done in 2 attempts");
});

Deno.test("attempts that fail one after the other are paced: thirty of them take minutes, not a second", () => {
  const driver = started(["w-a"], { pauses: true });
  driver.doStep();
  const pauses: number[] = [];
  const startedAt = driver.now;
  const phase = () => driver.training.phase;
  while (phase() === "compute") {
    const { term, step, attempt } = driver.training;
    const report = { worker: "w-a", incarnation: "i-w-a", term, step, attempt, gradientBytesSent: 0 };
    driver.apply({ type: "failure", report: { ...report, reason: "no GPU", suspects: [] } });
    const { notBefore } = driver.training;
    pauses.push(Math.max(0, notBefore - driver.now));
    if (phase() !== "waiting") continue;
    driver.now = notBefore - 1;
    driver.apply({ type: "tick" });
    assertEquals(phase(), "waiting");
    driver.now = notBefore;
    driver.apply({ type: "tick" });
  }
  assertEquals([phase(), pauses.length], ["failed", LIMITS.maxAttemptsPerStep]);
  // One failure alone costs nothing; then from a half of 0.1 s on, doubled, up to 5 s.
  assertEquals(pauses[0], 0);
  for (const [index, pause] of pauses.slice(1).entries()) {
    const most = Math.min(LIMITS.longestPauseMs, LIMITS.firstPauseMs * 2 ** index);
    assert(pause >= most / 2 && pause <= most, `pause ${index}: ${pause} ms`);
  }
  assert(driver.now - startedAt > 60_000);
});

Deno.test("attempts in which the broker was away do not count towards the step's limit", () => {
  const driver = started(["w-a"], { limits: { ...LIMITS, maxAttemptsPerStep: 2 } });
  driver.doStep();
  const fail = () => {
    const { term, step, attempt } = driver.training;
    const report = { worker: "w-a", incarnation: "i-w-a", term, step, attempt, gradientBytesSent: 0 };
    driver.apply({ type: "failure", report: { ...report, reason: "no answer", suspects: [] } });
  };
  for (let time = 0; time < 5; time++) {
    driver.apply({ type: "blackout", milliseconds: LIMITS.reconnectGraceMs });
    fail();
    assertEquals(driver.training.phase, "compute");
  }
  fail();
  assertEquals(driver.training.phase, "compute");
  fail();
  assertEquals(driver.training.phase, "failed");
  assertStringIncludes(driver.reason, "step 2 could not be done in 2 attempts");
});

Deno.test("after a restart the job continues after the newest commit", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  const one = driver.training.committed!;
  const exponents = driver.training.exponents;
  const fresh = newTraining({ generation: 9, members: [] }, 2, 0);
  const resumed = resume(CONTEXT, fresh, { sequence: 2, entry: one }, NOTHING).training;
  assertEquals([resumed.step, resumed.phase, resumed.attempt], [2, "waiting", 0]);
  // As if nothing had happened: the same exponents, so the same integers.
  assertEquals(resumed.exponents, exponents);

  const last = { ...one, step: PLAN.totalSteps };
  const unstored = resume(CONTEXT, fresh, { sequence: 4, entry: last }, NOTHING).training;
  assertEquals([unstored.phase, unstored.checkpointWriter], ["checkpoint", null]);
  const done = resume(CONTEXT, fresh, { sequence: 4, entry: last }, { adapter: true, state: false });
  assertEquals(summarize(done.effects), ["done"]);
  const initial = resume(CONTEXT, fresh, { sequence: 1, entry: { ...one, step: 0 } }, NOTHING).training;
  assertEquals([initial.step, initial.phase, initial.exponents], [1, "waiting", null]);
});

Deno.test("fresh workers load a stored state from the coordinator and continue from there", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  const entry = driver.training.committed!;
  const stored = { adapter: true, state: true };
  driver.training = resume(CONTEXT, newTraining(driver.training.fleet, 2, 0), { sequence: 2, entry }, stored)
    .training;
  driver.fleet();
  driver.now += 10 * LIMITS.stateLossGraceMs;
  driver.fleet(member("w-b", AT_START));
  assertEquals(driver.training.phase, "waiting");
  assertEquals(stepStateOf(PLAN, driver.training, LIMITS).holders, ["coordinator"]);
  driver.now += LIMITS.stateLossGraceMs;
  driver.apply({ type: "tick" });
  assertEquals(driver.training.phase, "waiting");
  driver.fleet(member("w-b", { step: 1, digest: digestOf("step 1") }));
  assertEquals([driver.training.phase, driver.training.step], ["compute", 2]);
});

Deno.test("a stored state that no worker can load fails the job: restarting from it would not help", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  driver.training = { ...driver.training, storedStep: 1 };
  driver.fleet(member("w-b", AT_START));
  driver.drain();
  driver.now += LIMITS.stateLossGraceMs + LIMITS.transferBaseMs + 1000;
  driver.apply({ type: "tick" });
  const end = driver.drain().at(-1)!;
  assert(end.type === "failed" && end.code === "corrupt");
});
