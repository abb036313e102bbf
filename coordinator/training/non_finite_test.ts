import { assert, assertEquals, assertMatch } from "@std/assert";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { digestOf, type Driver, member, PLAN, started, summarize } from "./step_fixture.ts";
import { stepStateOf } from "./state/announcement.ts";

const EIGHT = { plan: { ...PLAN, microBatchCountOf: () => 8 } };
const one = { step: 1, digest: digestOf("step 1") };

/** The assignments that are announced, without their ids. */
const assignments = ({ training }: Driver) =>
  stepStateOf(PLAN, training, LIMITS).assignments.map((
    { index, worker, purpose },
  ) => [index, worker, purpose]);

Deno.test("NaN from one worker only: a different one is asked, its gradient counts, and the first is named", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  driver.drain();
  assertEquals(driver.claim("w-a", 0, { lossSum: null }), "duplicate");
  assertMatch(summarize(driver.drain())[1]!, /not finite on w-a; w-b tries it again/);
  assertEquals(assignments(driver), [[0, "w-b", "claim"]]);
  assertEquals(driver.claim("w-b", 0, { claim: 4 }), "counted");
  assertMatch(
    summarize(driver.drain())[1]!,
    /^warn: w-a computed a gradient of micro-batch 0 that is not finite/,
  );
  assertEquals(driver.training.strikes.get("w-a"), [
    "its gradient of micro-batch 0 of step 2 is not finite, that of w-b is",
  ]);
  assertEquals(assignments(driver), []);
});

Deno.test("NaN on two workers: excluded, and the step goes on with the other micro-batches and their tokens", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  driver.claim("w-a", 1, { max: Infinity });
  driver.drain();
  driver.claim("w-b", 1, { max: NaN });
  assertEquals(driver.drain().at(-1), { type: "excluded", step: 2, index: 1, workers: ["w-a", "w-b"] });
  assertMatch(driver.reason, /micro-batch 1 of step 2 is excluded: it is not finite on w-a, w-b/);
  assertEquals(driver.claim("w-b", 1, { claim: 9 }), "duplicate");
  driver.claim("w-a", 0);
  assertEquals(driver.training.phase, "reduce");
  const { ledger, labelCount } = stepStateOf(PLAN, driver.training, LIMITS);
  assertEquals([ledger, labelCount], [[0, null], 4]);
  for (const worker of ["w-a", "w-b"]) driver.update(worker, digestOf("x"));
  const { excluded, excludedTotal, loss } = driver.training.pending!;
  assertEquals([excluded, excludedTotal, loss], [[{ index: 1, workers: ["w-a", "w-b"] }], 1, 2 / 4]);
});

Deno.test("without a further worker the second try decides, and a repeated report counts once", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  driver.claim("w-a", 0, { lossSum: null, claim: 7 });
  assertEquals(assignments(driver), [[0, "w-a", "claim"]]);
  assertEquals(driver.claim("w-a", 0, { lossSum: null, claim: 7 }), "duplicate");
  assertEquals(driver.training.ledger.excluded.size, 0);
  driver.claim("w-a", 0, { lossSum: null, claim: 8 });
  assertEquals([...driver.training.ledger.excluded], [[0, ["w-a"]]]);
});

Deno.test("one worker's repeated reports exclude nothing while a different worker has not tried", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  for (let claim = 0; claim < 10; claim++) driver.claim("w-a", 0, { lossSum: null, claim });
  assertEquals([driver.training.ledger.excluded.size, assignments(driver)], [0, [[0, "w-b", "claim"]]]);
});

Deno.test("two tries decide, even while a third worker is asked and does not answer", () => {
  const driver = started(["w-a", "w-b", "w-c"]);
  driver.doStep();
  driver.claim("w-a", 0, { lossSum: null });
  const [[, asked]] = assignments(driver) as [[number, string]];
  // The hedge has brought it to a different worker.
  driver.claim(asked === "w-b" ? "w-c" : "w-b", 0, { lossSum: null });
  assertEquals([[...driver.training.ledger.excluded.keys()], assignments(driver)], [[0], []]);
  assertEquals(driver.claim(asked, 0, { claim: 9 }), "duplicate");
  driver.claim("w-a", 1);
  assertEquals(driver.training.phase, "reduce");
});

Deno.test("the worker that was asked is gone: a different one is asked", () => {
  const driver = started(["w-a", "w-b", "w-c"]);
  driver.doStep();
  driver.claim("w-a", 0, { lossSum: null });
  const [[, asked]] = assignments(driver) as [[number, string]];
  const other = asked === "w-b" ? "w-c" : "w-b";
  driver.fleet(member("w-a", one), member(other, one));
  assertEquals(assignments(driver), [[0, other, "claim"]]);
  driver.fleet(member("w-a", one));
  assertEquals(assignments(driver), [[0, "w-a", "claim"]]);
});

Deno.test("three strikes: quarantined, what is in its sums is redone, and its reports exclude nothing", () => {
  const driver = started(["w-a", "w-b", "w-c"], EIGHT);
  driver.doStep();
  driver.claim("w-a", 7);
  driver.claim("w-a", 6, { lossSum: null });
  driver.claim("w-b", 6, { lossSum: null });
  assertEquals([...driver.training.ledger.excluded.keys()], [6]);
  for (const index of [0, 1, 2]) {
    driver.claim("w-a", index, { lossSum: null });
    driver.drain();
    driver.claim("w-b", index);
  }
  const effects = driver.drain();
  assertMatch(
    summarize(effects)[2]!,
    /^error: w-a takes no further part in the job: it was to blame 3 times: its/,
  );
  const found = effects.find((effect) => effect.type === "quarantine")!;
  assertEquals([found.worker, found.reasons.length, found.until], ["w-a", 3, "jobEnds"]);
  const again = effects.findLast((effect) => effect.type === "requeue")!;
  assert(again.indices.includes(7) && again.indices.includes(6), `${again.indices}`);
  assertMatch(
    summarize(effects).at(-2)!,
    /Without w-a: 2 go on with step 2, and 2 of 8 micro-batches are done again/,
  );
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-b", "w-c"]);
  assertEquals(driver.training.ledger.excluded.size, 0);
  // It is still there, and not even asked to wait.
  driver.fleet(member("w-a", one), member("w-b", one), member("w-c", one));
  assertEquals([driver.training.members.length, driver.claim("w-a", 3)], [2, "stale"]);
  driver.apply({ type: "reinstate", worker: "w-a" });
  driver.fleet(member("w-a", one), member("w-b", one), member("w-c", one));
  // Its sums hold what others do again: it is in no attempt but the next.
  assertEquals([driver.training.members.length, driver.training.strikes.has("w-a")], [2, false]);
  const { term, step, attempt } = driver.training;
  const report = { worker: "w-b", incarnation: "i-w-b", term, step, attempt, gradientBytesSent: 0 };
  driver.apply({ type: "failure", report: { ...report, reason: "no network", suspects: [] } });
  assertEquals([driver.training.members.length, driver.training.attempt], [3, attempt + 1]);
});

Deno.test("no worker is left: the job fails and names the quarantined ones", () => {
  const driver = started(["w-a"]);
  driver.doStep();
  for (let time = 0; time < LIMITS.strikesUntilDropped; time++) {
    const { term, step, attempt } = driver.training;
    const report = { worker: "w-a", incarnation: "i-w-a", term, step, attempt, gradientBytesSent: 0 };
    driver.apply({ type: "failure", report: { ...report, reason: "no GPU", suspects: ["w-a"] } });
  }
  const end = driver.drain().at(-1)!;
  assert(end.type === "failed");
  assertMatch(end.message, /no worker is left that can do step 2: w-a is in quarantine/);
});

Deno.test("more than a quarter of a step cannot be the samples' fault: the job fails", () => {
  const driver = started(["w-a"], EIGHT);
  driver.doStep();
  for (const index of [0, 1, 2]) {
    assertEquals(driver.training.phase, "compute");
    for (const claim of [index, 10 + index]) driver.claim("w-a", index, { lossSum: null, claim });
  }
  const end = driver.drain().at(-1)!;
  assert(end.type === "failed" && end.code === "gpu_failure");
  assertMatch(
    end.message,
    /^3 of 8 micro-batches of step 2 give .* \(micro-batch 2 of step 2 was tried by w-a\)/,
  );
});

Deno.test("one a step is too many in the end; a step with nothing left fails at once", () => {
  const driver = started(["w-a"], { plan: { ...PLAN, totalSteps: 20, checkpointSteps: [20] } });
  const excludeFirst = () => {
    for (const claim of [100, 101]) driver.claim("w-a", 0, { lossSum: null, claim });
  };
  driver.doStep();
  for (let step = 2; step < 2 + LIMITS.excludedOfJob; step++) {
    excludeFirst();
    driver.claim("w-a", 1);
    driver.update("w-a", digestOf(`step ${step}`));
    driver.stored();
  }
  assertEquals(driver.training.phase, "compute");
  excludeFirst();
  const end = driver.drain().at(-1)!;
  assert(end.type === "failed");
  assertMatch(end.message, /^5 micro-batches of the first 6 of 20 steps give/);

  const single = started(["w-a"], { plan: { ...PLAN, microBatchCountOf: () => 1 } });
  single.claim("w-a", 0, { lossSum: null, claim: 1 });
  single.claim("w-a", 0, { lossSum: null, claim: 2 });
  const last = single.drain().at(-1)!;
  assert(last.type === "failed");
  assertMatch(last.message, /^1 of 1 micro-batches of step 1 give/);
});
