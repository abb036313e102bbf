import { assertEquals, assertMatch } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import {
  FIRST_VERSION_WITH_FINGERPRINTS,
  OLDEST_PROTOCOL_VERSION,
} from "../../../shared/protocol/messages_worker.ts";
import { digestOf, type Driver, INITIAL, member, PLAN, started, summarize } from "../step_fixture.ts";
import { type DigestKind, FINGERPRINT_MARK } from "../../../shared/protocol/state/state_digest.ts";
import { stepStateOf } from "./announcement.ts";
import type { FleetMember } from "./fleet_view.ts";
import type { LocalPlan } from "../../planning/schedule/local_plan.ts";
import type { TrainingPlan } from "./plan.ts";

/** So slow that a SHA-256 of 128 elements takes 1.28 s. */
const limits = { ...LIMITS, sha256MsPerElement: 10 };
const plan: TrainingPlan = { ...PLAN, totalSteps: 9, checkpointSteps: [] };
const held = (worker: string, step = 0, kind: DigestKind = "sha256"): FleetMember =>
  member(worker, { step, digest: step === 0 ? INITIAL : nameOf(step, kind) });

const begun = (change: Partial<TrainingPlan> = {}): Driver =>
  started(["w-a", "w-b"], { plan: { ...plan, ...change }, limits });

const announcedBy = ({ training }: Driver, of = plan) => stepStateOf(of, training, limits);

/** A digest of the state after a step. */
const nameOf = (step: number, kind: DigestKind): string =>
  kind === "sha256" ? digestOf(`step ${step}`) : FINGERPRINT_MARK + digestOf(`step ${step}`).slice(0, 48);

/** Does the current step. The kind of digest of its round, whose gradients took so long. */
function kindAfter(driver: Driver, gradientMs = 0): string {
  const { step } = driver.training;
  if (driver.training.exponents === null) driver.claim("w-a", 0);
  driver.now += gradientMs;
  driver.training.ledger.entries.forEach((_, index) => driver.claim("w-a", index));
  assertEquals(driver.training.phase, "reduce");
  const { digestKind = "sha256" } = announcedBy(driver);
  for (const { worker } of driver.training.members) driver.update(worker, nameOf(step, digestKind));
  driver.stored();
  assertEquals(driver.training.committed?.step, step);
  return digestKind;
}

Deno.test("a step gets a SHA-256 where that takes at most a twentieth of the time of its gradients, or a millisecond", () => {
  assertEquals(kindAfter(begun(), 25_500), "fingerprint");
  assertEquals(kindAfter(begun(), 25_600), "sha256");
  const quick = { ...limits, sha256MsPerElement: 1 / 128 };
  assertEquals(kindAfter(started(["w-a", "w-b"], { plan, limits: quick })), "sha256");
});

Deno.test("a commit under a fingerprint has no holders to load it from, and the next attempt waits for nobody who would", () => {
  const driver = begun();
  assertEquals(announcedBy(driver).holders, ["w-a", "w-b"]);
  assertEquals(kindAfter(driver), "fingerprint");
  assertEquals([driver.training.step, driver.training.phase], [2, "compute"]);
  const state = announcedBy(driver);
  assertEquals([state.committed, state.holders], [{ step: 1, digest: nameOf(1, "fingerprint") }, []]);

  // A third worker loads the job in the meantime: the next commit is one that it can load.
  driver.fleet(held("w-a", 1, "fingerprint"), held("w-b", 1, "fingerprint"), held("w-c"));
  assertEquals(kindAfter(driver), "sha256");
  assertEquals(announcedBy(driver).holders, ["w-a", "w-b"]);
  // Now it is waited for.
  assertEquals([driver.training.step, driver.training.phase], [3, "waiting"]);
  driver.fleet(held("w-a", 2), held("w-b", 2), held("w-c", 2));
  assertEquals([driver.training.phase, driver.training.members.length], ["compute", 3]);
  assertEquals(kindAfter(driver), "fingerprint");
});

Deno.test("a worker that leaves does one more step if it alone has a state that nobody can load, for those that stay", () => {
  const driver = started(["w-a"], { plan, limits });
  assertEquals(kindAfter(driver), "fingerprint");
  const left = (): FleetMember => ({ ...held("w-a", 1, "fingerprint"), draining: true });
  driver.fleet(left(), held("w-b"));
  const { attempt } = driver.training;
  driver.claim("w-a", 0, { max: 1e9 });
  driver.claim("w-a", 1);
  assertEquals([driver.training.phase, driver.training.attempt], ["compute", attempt + 1]);
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-a"]);
  assertEquals(kindAfter(driver), "sha256");
  assertEquals([driver.training.step, driver.training.phase, announcedBy(driver).holders], [3, "waiting", [
    "w-a",
  ]]);
  driver.fleet({ ...held("w-a", 2), draining: true }, held("w-b", 2));
  assertEquals(driver.training.members.map(({ worker }) => worker), ["w-b"]);

  // Nobody would go on from there.
  for (const others of [[], [{ ...held("w-b"), draining: true }]]) {
    const alone = started(["w-a"], { plan, limits });
    assertEquals(kindAfter(alone), "fingerprint");
    alone.fleet(left(), ...others);
    alone.claim("w-a", 0, { max: 1e9 });
    alone.claim("w-a", 1);
    assertEquals(alone.training.phase, "waiting");
  }
});

Deno.test("if all workers that hold a state leave, one is announced, so that it stays until another has loaded it", () => {
  const driver = begun();
  driver.training.ledger.entries.forEach((_, index) => driver.claim("w-a", index));
  const leaving = (worker: string): FleetMember => ({ ...held(worker), draining: true });
  driver.fleet(held("w-a"), leaving("w-b"), member("w-c", null));
  assertEquals(kindAfter(driver), "sha256");
  assertEquals(announcedBy(driver).holders, ["w-a", "w-b"]);
  driver.fleet(leaving("w-a"), leaving("w-b"), member("w-c", null));
  assertEquals(announcedBy(driver).holders, ["w-a"]);
  driver.fleet(leaving("w-a"), leaving("w-b"), held("w-c", 1));
  assertEquals(announcedBy(driver).holders, ["w-a", "w-b", "w-c"]);
});

Deno.test("workers that load, leave or are of an older release get a SHA-256, one that has failed does not", () => {
  const kindBeside = (other: FleetMember): string => {
    const driver = begun();
    driver.fleet(held("w-a"), held("w-b"), other);
    return kindAfter(driver);
  };
  assertEquals(kindBeside(member("w-c", null)), "sha256");
  assertEquals(kindBeside({ ...member("w-c", null), job: null }), "sha256");
  assertEquals(kindBeside({ ...held("w-c"), draining: true }), "sha256");
  assertEquals(OLDEST_PROTOCOL_VERSION < FIRST_VERSION_WITH_FINGERPRINTS, true);
  const mixed = begun();
  const members = [held("w-a"), held("w-b")];
  mixed.apply({
    type: "fleet",
    fleet: { generation: 9, oldestProtocolVersion: OLDEST_PROTOCOL_VERSION, members },
  });
  assertEquals(kindAfter(mixed), "sha256");
  const failure = { code: "does_not_fit" as const, message: "too large", param: null };
  const failed = { phase: "failed" as const, jobId: PLAN.jobId, startId: PLAN.startId, ...failure };
  assertEquals(kindBeside({ ...member("w-c", null), job: failed }), "fingerprint");
});

Deno.test("steps whose adapter is stored or evaluated, the last one, and those of inner loops get a SHA-256", () => {
  const kindWith = (change: Partial<TrainingPlan>) => kindAfter(begun(change));
  assertEquals(kindWith({}), "fingerprint");
  assertEquals(kindWith({ checkpointSteps: [1] }), "sha256");
  assertEquals(kindWith({ totalSteps: 1 }), "sha256");
  const evaluation = { microBatchCount: 1, rule: { metric: "eval_loss", greaterIsBetter: false } as never };
  assertEquals(kindWith({ evaluation: { ...evaluation, steps: [2] } }), "fingerprint");
  assertEquals(kindWith({ evaluation: { ...evaluation, steps: [1] } }), "sha256");
  const local = { updateBoundOf: () => 1, learningRateOf: () => 1e-3 } as unknown as LocalPlan;
  assertEquals(kindWith({ local }), "sha256");
});

Deno.test("a round that loses a member begins anew with the digest that is right by then", () => {
  const driver = started(["w-a", "w-b", "w-c"], { plan, limits });
  if (driver.training.exponents === null) driver.claim("w-a", 0);
  driver.training.ledger.entries.forEach((_, index) => driver.claim("w-a", index));
  assertEquals(announcedBy(driver).digestKind, "fingerprint");
  driver.update("w-a", nameOf(1, "fingerprint"));
  // w-b comes back as a new incarnation, which will have to load the state.
  driver.fleet(held("w-a"), { ...member("w-b", null), incarnation: "i-again" }, held("w-c"));
  assertEquals([driver.training.phase, announcedBy(driver).digestKind], ["reduce", undefined]);
  for (const worker of ["w-a", "w-c"]) driver.update(worker, digestOf("step 1"));
  driver.stored();
  assertEquals(announcedBy(driver).holders, ["w-a", "w-c"]);
});

Deno.test("a digest of the other kind than the round's ends the attempt, and its worker is to blame", () => {
  for (const isLong of [true, false]) {
    const driver = begun();
    if (driver.training.exponents === null) driver.claim("w-a", 0);
    driver.now += isLong ? 60_000 : 0;
    driver.training.ledger.entries.forEach((_, index) => driver.claim("w-a", index));
    driver.drain();
    driver.update("w-b", nameOf(1, isLong ? "fingerprint" : "sha256"));
    assertMatch(
      summarize(driver.drain())[0]!,
      /w-b reports a digest that is no (sha256|fingerprint): [0-9a-f]{24}\.$/,
    );
    assertEquals([...driver.training.strikes.keys()], ["w-b"]);
  }
});
