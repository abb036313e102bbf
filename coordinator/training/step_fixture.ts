/** For tests of the step's decisions: a training that is driven event by event, with the reports that workers would send. */
import { LIMITS, type Limits } from "../../shared/protocol/limits.ts";
import { CHECK_WORDS } from "../../shared/protocol/linear_check.ts";
import { encodeChecksums, encodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { Verdict } from "../../shared/protocol/messages_coordinator.ts";
import type { MicroBatchReport, RoundCheck, WorkerJob } from "../../shared/protocol/messages_worker.ts";
import { decideStep } from "./step.ts";
import type { StepEffect, StepEvent } from "./state/effects.ts";
import type { JobObserver } from "../fleet/fleet.ts";
import type { FleetMember } from "./state/fleet_view.ts";
import { newTraining, type Training } from "./state/training.ts";
import type { TrainingPlan } from "./state/plan.ts";

export const START = "s-1";
export const INITIAL = digestOf("initial");

export const PLAN: TrainingPlan = {
  jobId: "ftjob-a",
  startId: START,
  specHash: "spec",
  totalSteps: 3,
  checkpointSteps: [3],
  schedule: { learning_rate: 1e-3, lr_scheduler_type: "constant", warmup_ratio: 0, warmup_steps: 0 },
  microBatchCountOf: () => 2,
  isAudited: () => false,
  failsUnresolved: true,
};

/** 64 hexadecimal digits that are made of a name. */
export function digestOf(name: string): string {
  return Array.from(name, (letter) => letter.charCodeAt(0).toString(16)).join("").padEnd(64, "0");
}

/** A member that has loaded the job and holds a commit; null: it is still loading. */
export function member(worker: string, committed: { step: number; digest: string } | null): FleetMember {
  const loading = { jobId: PLAN.jobId, startId: START };
  const layout = { tensorCount: 2, elementCount: 128, parameterCount: 100 };
  const job: WorkerJob = committed === null
    ? { phase: "loading", ...loading }
    : { phase: "loaded", ...loading, layout, committed };
  return {
    ...{ worker, incarnation: `i-${worker}`, gpu: "a GPU", draining: false, job },
    ...{ busy: null, linkBytesPerSecond: null },
  };
}

interface ClaimChange {
  readonly claim?: number;
  /** Of the first tensor; half of it is the second one's. */
  readonly max?: number;
  readonly maxAbs?: readonly [number, number];
  readonly lossSum?: number | null;
  /** A name for its bits; null: no digest. */
  readonly gradient?: string | null;
  readonly audit?: number | null;
  readonly computeMs?: number;
}

export interface Driver {
  training: Training;
  now: number;
  /** Since the last `drain`. */
  effects: StepEffect[];
  reason: string;
  apply(event: StepEvent): readonly StepEffect[];
  fleet(...members: readonly FleetMember[]): void;
  /** A claim of the current attempt; returns the verdict. */
  claim(worker: string, index: number, change?: ClaimChange): Verdict;
  /** `check` left out: everything adds up, to 0. */
  update(worker: string, digest: string, check?: RoundCheck | null): void;
  /** `worker` abandons the current attempt, or the one in `change`. */
  failure(worker: string, suspects: readonly string[], change?: { attempt?: number; reason?: string }): void;
  stored(): void;
  drain(): readonly StepEffect[];
  /** Does the current step with all members, until its commit is stored. */
  doStep(): void;
}

interface DriverOptions {
  readonly plan?: TrainingPlan;
  readonly limits?: Limits;
  /** Whether the test waits out the pauses after failures itself; without, time passes by itself until they are over. */
  readonly pauses?: boolean;
}

export function createDriver(options: DriverOptions = {}): Driver {
  const { plan = PLAN, limits = LIMITS, pauses = false } = options;
  let generation = 1;
  const driver: Driver = {
    training: newTraining({ generation, members: [] }, 1, 0),
    now: 0,
    effects: [],
    reason: "",
    apply(event) {
      const decision = decideStep({ plan, now: driver.now, limits }, driver.training, event);
      driver.training = decision.training;
      driver.reason = decision.reason;
      driver.effects.push(...decision.effects);
      const { phase, notBefore } = driver.training;
      if (pauses || phase === "failed" || notBefore <= driver.now) return decision.effects;
      driver.now = notBefore;
      return [...decision.effects, ...driver.apply({ type: "tick" })];
    },
    fleet(...members) {
      driver.apply({ type: "fleet", fleet: { generation: ++generation, members } });
    },
    claim(worker, index, change) {
      const report = claimReport(driver.training, worker, index, change);
      const verdict = driver.apply({ type: "report", report }).find((effect) => effect.type === "verdict");
      if (verdict === undefined) throw new Error("a claim was not answered");
      return verdict.verdict;
    },
    update(worker, digest, check = checkOfNothing(driver.training.members.length)) {
      const { generation } = driver.training;
      const report = { ...reportOf(driver.training, worker), gradientBytesSent: 0, generation, digest };
      driver.apply({ type: "update", report: { ...report, gradientNorm: 0.5, check } });
    },
    failure(worker, suspects, change = {}) {
      const report = { ...reportOf(driver.training, worker), gradientBytesSent: 0, suspects: [...suspects] };
      driver.apply({ type: "failure", report: { ...report, reason: "chunks are missing", ...change } });
    },
    stored() {
      driver.apply({ type: "stored", sequence: driver.training.sequence + 1 });
    },
    drain: () => driver.effects.splice(0),
    doStep() {
      const { step } = driver.training;
      if (driver.training.exponents === null) driver.claim(driver.training.members[0]!.worker, 0);
      claimAll(driver);
      for (const { worker } of driver.training.members) driver.update(worker, digestOf(`step ${step}`));
      driver.stored();
    },
  };
  return driver;
}

/** What all reports of the current attempt have in common. */
function reportOf({ term, step, attempt }: Training, worker: string) {
  return { worker, incarnation: `i-${worker}`, term, step, attempt };
}

function claimReport(
  training: Training,
  worker: string,
  index: number,
  change: ClaimChange = {},
): MicroBatchReport {
  const { claim = index, max = 1, lossSum = 2, gradient = null, audit = null, computeMs = 10 } = change;
  const { maxAbs = [max, max / 2] } = change;
  return {
    ...{
      ...reportOf(training, worker),
      index,
      claim,
      lossSum,
      labelCount: 4,
      correctCount: 1,
      computeMs,
      audit,
    },
    maxAbs: encodeFloats(Float32Array.of(...maxAbs)),
    gradientDigest: gradient === null ? null : digestOf(gradient),
    // An honest worker's check follows from the gradient.
    gradientCheck: gradient === null || training.exponents === null ? null : checksumOf(0),
  };
}

/** Checksums that have each number in both of their words. */
export function checksumOf(...numbers: number[]): string {
  return encodeChecksums(Int32Array.from(numbers.flatMap((number) => [number, number])));
}

/** Of a round in which all sums are 0; null for a lone worker. */
export function checkOfNothing(memberCount: number): RoundCheck | null {
  if (memberCount < 2) return null;
  const all = encodeChecksums(new Int32Array(CHECK_WORDS * memberCount));
  return { given: all, received: all, total: checksumOf(0), result: all };
}

function claimAll({ training, claim }: Driver): void {
  training.ledger.entries.forEach((_, index) => claim(training.members[0]!.worker, index));
}

/** Workers `names`, with the initial adapter agreed on and the first attempt begun. */
export function started(names: readonly string[], options: DriverOptions = {}): Driver {
  const driver = createDriver(options);
  driver.fleet(...names.map((name) => member(name, { step: 0, digest: INITIAL })));
  driver.stored();
  return driver;
}

/** The types of effects, events with their message. */
export function summarize(effects: readonly StepEffect[]): string[] {
  return effects.map((effect) =>
    effect.type === "event" ? `${effect.level}: ${effect.message}` : effect.type
  );
}

/** Of a new job; ignores everything. */
export const SILENT_OBSERVER: JobObserver = {
  starting: () => Promise.resolve({ step: 0, checkpointSteps: [] }),
  event: () => {},
  microBatchExcluded: () => {},
  stepCommitted: () => Promise.resolve(),
  evaluated: () => Promise.resolve(),
  checkpointWritten: () => Promise.resolve(),
};
