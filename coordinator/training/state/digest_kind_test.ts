import { assertEquals } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import {
  FIRST_VERSION_WITH_FINGERPRINTS,
  OLDEST_PROTOCOL_VERSION,
} from "../../../shared/protocol/messages_worker.ts";
import { digestOf, type Driver, INITIAL, member, PLAN, started } from "../step_fixture.ts";
import { stepStateOf } from "./announcement.ts";
import type { FleetMember } from "./fleet_view.ts";
import type { LocalPlan } from "../../planning/schedule/local_plan.ts";
import type { TrainingPlan } from "./plan.ts";

/** So slow that a SHA-256 of 128 elements takes 1.28 s. */
const limits = { ...LIMITS, sha256MsPerElement: 10 };
const plan: TrainingPlan = { ...PLAN, totalSteps: 9, checkpointSteps: [] };
const held = (worker: string, step = 0): FleetMember =>
  member(worker, { step, digest: step === 0 ? INITIAL : digestOf(`step ${step}`) });

const begun = (change: Partial<TrainingPlan> = {}): Driver =>
  started(["w-a", "w-b"], { plan: { ...plan, ...change }, limits });

const announcedBy = ({ training }: Driver, of = plan) => stepStateOf(of, training, limits);

/** The digest of the round of this step, whose gradients took so long. */
function kindAfter(driver: Driver, gradientMs = 0): string {
  const { step } = driver.training;
  if (driver.training.exponents === null) driver.claim("w-a", 0);
  driver.now += gradientMs;
  driver.training.ledger.entries.forEach((_, index) => driver.claim("w-a", index));
  assertEquals(driver.training.phase, "reduce");
  const { digestKind = "sha256" } = announcedBy(driver);
  for (const { worker } of driver.training.members) driver.update(worker, digestOf(`step ${step}`));
  assertEquals(driver.training.pending!.digestKind ?? "sha256", digestKind);
  driver.stored();
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
  assertEquals([state.committed, state.holders], [{ step: 1, digest: digestOf("step 1") }, []]);

  // A third worker loads the job in the meantime: the next commit is one that it can load.
  driver.fleet(held("w-a", 1), held("w-b", 1), held("w-c"));
  assertEquals(kindAfter(driver), "sha256");
  assertEquals(announcedBy(driver).holders, ["w-a", "w-b"]);
  // Now it is waited for.
  assertEquals([driver.training.step, driver.training.phase], [3, "waiting"]);
  driver.fleet(held("w-a", 2), held("w-b", 2), held("w-c", 2));
  assertEquals([driver.training.phase, driver.training.members.length], ["compute", 3]);
  assertEquals(kindAfter(driver), "fingerprint");
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
  assertEquals(kindBeside({ ...held("w-c"), protocolVersion: OLDEST_PROTOCOL_VERSION }), "sha256");
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
  driver.update("w-a", digestOf("a fingerprint"));
  // w-b comes back as a new incarnation, which will have to load the state.
  driver.fleet(held("w-a"), { ...member("w-b", null), incarnation: "i-again" }, held("w-c"));
  assertEquals([driver.training.phase, announcedBy(driver).digestKind], ["reduce", undefined]);
  for (const worker of ["w-a", "w-c"]) driver.update(worker, digestOf("step 1"));
  driver.stored();
  assertEquals(driver.training.committed!.digestKind, undefined);
  assertEquals(announcedBy(driver).holders, ["w-a", "w-c"]);
});
