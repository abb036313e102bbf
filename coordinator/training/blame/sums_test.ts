import { assert, assertEquals, assertMatch } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { encodeChecksums } from "../../../shared/protocol/messages_codec.ts";
import type { RoundCheck } from "../../../shared/protocol/messages_worker.ts";
import { checksumOf, digestOf, type Driver, PLAN, started, summarize } from "../step_fixture.ts";
import type { TrainingPlan } from "../state/plan.ts";

/** What each of three members gave each owner: gave[m][o]. */
const GAVE = [[10, 20, 30], [1, 2, 3], [100, 200, 300]];
const NAMES = ["w-a", "w-b", "w-c"];
const columnSum = (o: number) => GAVE.reduce((sum, row) => sum + row[o]!, 0);

/** What an honest member reports. */
function honest(m: number): RoundCheck {
  return {
    given: checksumOf(...GAVE[m]!),
    received: checksumOf(...GAVE.map((row) => row[m]!)),
    total: checksumOf(columnSum(m)),
    result: checksumOf(...NAMES.map((_, o) => columnSum(o))),
  };
}

const THREE: TrainingPlan = { ...PLAN, microBatchCountOf: () => 3 };

/** The second step up to the round; each member has a micro-batch. */
function inRound(plan: TrainingPlan = THREE): Driver {
  const driver = started(NAMES, { plan });
  driver.doStep();
  claimAll(driver);
  assertEquals(driver.training.phase, "reduce");
  driver.drain();
  return driver;
}

function claimAll({ claim, training: { members } }: Driver): void {
  members.forEach(({ worker }, index) => claim(worker, index));
}

function updateAll(driver: Driver, change: Partial<Record<string, Partial<RoundCheck> | null>> = {}): void {
  NAMES.forEach((worker, m) => {
    const other = change[worker];
    driver.update(worker, digestOf("x"), other === null ? null : { ...honest(m), ...other });
  });
}

Deno.test("sums that add up are committed", () => {
  const driver = inRound();
  updateAll(driver);
  assertEquals([driver.training.phase, driver.reason], ["commit", "all updates agree"]);
});

const cases: [string, Partial<Record<string, Partial<RoundCheck> | null>>, string, RegExp][] = [
  ["no checksums", { "w-b": null }, "w-b", /w-b is wrong: it reported no checksums of a round of 3 members/],
  [
    "checksums of a different round",
    { "w-b": { given: checksumOf(1, 2) } },
    "w-b",
    /reported no checksums of a round of 3/,
  ],
  [
    "a result that is not what it received",
    { "w-b": { total: checksumOf(5), result: checksumOf(columnSum(0), 5, columnSum(2)) } },
    "w-b",
    /w-b is wrong: what it reports to have received for its range does not add up to the sum that it gave/,
  ],
  [
    "two sums of its own part",
    { "w-b": { given: checksumOf(1, 5, 3) } },
    "w-b",
    /contradicts itself about its own part/,
  ],
  [
    "other sums for all owners than they received",
    { "w-b": { given: checksumOf(7, 2, 7) } },
    "w-b",
    /w-b is wrong: its report contradicts those of w-a and w-c/,
  ],
  [
    "other sums from all senders than they gave",
    { "w-b": { received: checksumOf(19, 2, 201) } },
    "w-b",
    /w-b is wrong: its report contradicts those of w-a and w-c/,
  ],
  [
    "a different result of its range than all others",
    {
      "w-b": {
        received: checksumOf(20, 2, 201),
        total: checksumOf(223),
        result: checksumOf(columnSum(0), 223, columnSum(2)),
      },
    },
    "w-b",
    /w-b is wrong: its report contradicts/,
  ],
];
for (const [what, change, liar, message] of cases) {
  Deno.test(`equal digests, but a member reports ${what}: nothing is committed, and it gets a strike`, () => {
    const driver = inRound();
    const { attempt } = driver.training;
    updateAll(driver, change);
    assertEquals([driver.training.phase, driver.training.attempt], ["compute", attempt + 1]);
    assertMatch(summarize(driver.drain())[0]!, message);
    assertEquals([...driver.training.strikes.keys()], [liar]);
    assertEquals(driver.training.disputes, []);
  });
}

Deno.test("two contradicting reports: no strike, and the two own nothing until a third report decides", () => {
  const driver = inRound();
  // The owner w-b reports other sums received from w-a alone, and gives their total.
  const wrong = (by: number): RoundCheck => ({
    ...honest(1),
    received: checksumOf(20 + by, 2, 200),
    total: checksumOf(222 + by),
    result: checksumOf(columnSum(0), 222 + by, columnSum(2)),
  });
  const result = { result: checksumOf(columnSum(0), 223, columnSum(2)) };
  updateAll(driver, { "w-a": result, "w-b": wrong(1), "w-c": result });
  const events = summarize(driver.drain());
  assertMatch(events[0]!, /w-a reports other sums given to w-b than w-b reports to have received/);
  assert(
    events.some((line) => /The reports of w-a and w-b contradict each other: until a third/.test(line)),
    events.join(),
  );
  assertEquals([driver.training.strikes.size, driver.training.weights], [0, [0, 0, 1]]);
  // In the next round it tries the same with the only owner that is left: as a sender.
  claimAll(driver);
  const of = (all: readonly number[]): Pick<RoundCheck, "given" | "result"> => ({
    given: checksumOf(0, 0, all.reduce((sum, x) => sum + x, 0)),
    result: checksumOf(0, 0, 667),
  });
  const none = { received: checksumOf(0, 0, 0), total: checksumOf(0) };
  updateAll(driver, {
    "w-a": { ...of(GAVE[0]!), ...none },
    "w-b": { ...of(GAVE[1]!), ...none },
    "w-c": {
      ...of(GAVE[2]!),
      received: checksumOf(60, 7, 600),
      total: checksumOf(667),
      result: checksumOf(0, 0, 667),
    },
  });
  assertEquals([...driver.training.strikes.keys()], ["w-b"]);
  assertMatch(driver.training.strikes.get("w-b")![0]!, /w-a and w-c accuse it/);
});

Deno.test("the common one of two disputes gets the strike, and the other two are free again", () => {
  const driver = inRound();
  for (const other of ["w-a", "w-c"]) {
    const owner = NAMES.indexOf(other);
    // w-b gives one owner other sums than it reports.
    const given = checksumOf(...GAVE[1]!.map((sum, o) => o === owner ? sum + 1 : sum));
    updateAll(driver, { "w-b": { given } });
    if (other === "w-a") {
      assertEquals([driver.training.strikes.size, driver.training.disputes], [0, [["w-b", "w-a"]]]);
      claimAll(driver);
    }
  }
  assertEquals([...driver.training.strikes.keys()], ["w-b"]);
  assertMatch(
    driver.training.strikes.get("w-b")![0]!,
    /w-a and w-c accuse it: w-b reports other sums given to w-c/,
  );
  assertEquals(driver.training.disputes, []);
  assertEquals([...driver.training.accusations.map(({ accused }) => accused)], []);
});

Deno.test("two members: both are named, neither gets a strike, and the attempt is repeated", () => {
  const driver = started(["w-a", "w-b"]);
  driver.doStep();
  claimAll(driver);
  driver.drain();
  const { attempt } = driver.training;
  const all = (received: string): RoundCheck => ({
    ...{ given: checksumOf(1, 1), received, total: checksumOf(2), result: checksumOf(2, 2) },
  });
  driver.update("w-a", digestOf("x"), { ...all(checksumOf(1, 1)), given: checksumOf(1, 5) });
  driver.update("w-b", digestOf("x"), all(checksumOf(1, 1)));
  assertEquals([driver.training.attempt, driver.training.strikes.size], [attempt + 1, 0]);
  assert(
    summarize(driver.drain()).some((line) =>
      /reports of w-a and w-b contradict each other. With two members/.test(line)
    ),
  );
  assertEquals(driver.training.weights, [1, 1]);
});

Deno.test("a member without a micro-batch in its sums has nothing to give", () => {
  const driver = started(NAMES, { plan: THREE });
  driver.doStep();
  for (const index of [0, 1, 2]) driver.claim("w-a", index);
  updateAll(driver, { "w-c": { given: checksumOf(0, 0, 0) } });
  assertMatch(
    driver.training.strikes.get("w-b")![0]!,
    /w-b is wrong: it gave sums, though it has no micro-batch/,
  );
});

Deno.test("after a blackout no worker is named", () => {
  const driver = inRound();
  driver.apply({ type: "blackout", milliseconds: LIMITS.reconnectGraceMs });
  updateAll(driver, { "w-b": { given: checksumOf(7, 2, 7) } });
  assertEquals(driver.training.strikes.size, 0);
});

Deno.test("with a codec that rounds totals the result is not checked against the total; the rest is", () => {
  const plan: TrainingPlan = { ...THREE, gradientCodec: "int8" };
  const rounded = checksumOf(columnSum(0) + 1, columnSum(1) - 1, columnSum(2));
  const result = Object.fromEntries(NAMES.map((name) => [name, { result: rounded }]));
  const driver = inRound(plan);
  updateAll(driver, result);
  assertEquals(driver.training.phase, "commit");
  const other = inRound(plan);
  updateAll(other, { ...result, "w-b": { result: rounded, total: checksumOf(5) } });
  assertEquals([...other.training.strikes.keys()], ["w-b"]);
});

Deno.test("a worker audited for all of its micro-batches is found if it gives anything else", () => {
  const plan: TrainingPlan = { ...PLAN, isAudited: (step) => step === 2 };
  const driver = started(["w-a", "w-b"], { plan });
  driver.doStep();
  const audited = (given: number) => {
    driver.claim("w-a", 0, { gradient: "g0" });
    driver.claim("w-a", 1, { gradient: "g1" });
    for (const { id, worker, index } of driver.training.assignments) {
      driver.claim(worker, index, { gradient: `g${index}`, audit: id });
    }
    assertEquals(driver.training.phase, "reduce");
    const none = encodeChecksums(new Int32Array(4));
    const total = checksumOf(given);
    const result = checksumOf(given, 0);
    driver.update("w-a", digestOf("x"), { given: result, received: result, total, result });
    driver.update("w-b", digestOf("x"), { given: none, received: none, total: checksumOf(0), result });
  };
  // The fixture's gradients add nothing.
  audited(5);
  assertMatch(
    driver.training.strikes.get("w-a")![0]!,
    /w-a is wrong: it gave other sums than those of the micro-batches/,
  );
  audited(0);
  assertEquals(driver.training.phase, "commit");
});
