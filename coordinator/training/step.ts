/**
 * One optimizer step after the other, as decisions: (plan, training, event, now) → (training, effects, reason). The table of
 * phases is in docs/protocol.md. The parts: who takes part (eligibility.ts), the phase `waiting` (waiting.ts), claims
 * (claims.ts), gradients that are not finite (non_finite.ts), audits (audits.ts), who is to blame (strikes.ts), what workers say
 * about each other (accusations.ts), whether a round's sums add up (sums.ts),
 * members that come and go (regroup.ts), updates (updates.ts), checkpoints (checkpoints.ts).
 */
import { STATE_FILE_NAME } from "../../shared/protocol/checkpoint_format.ts";
import {
  checkpointWaitMs,
  type Limits,
  microBatchWaitMs,
  roundWaitMs,
} from "../../shared/protocol/limits.ts";
import {
  type AttemptFailure,
  type CheckpointReport,
  type CommitEntry,
  decodeFloats,
} from "../../shared/protocol/messages.ts";
import { isJobEnd } from "../../shared/protocol/messages.ts";
import { memberAmong } from "../../shared/protocol/sorted_members.ts";
import { accuse } from "./blame/accusations.ts";
import {
  checkpointCandidate,
  checkpointFailureEvents,
  chooseCheckpointWriter,
  isAbandoned,
  nextCheckpointWriter,
  withCheckpointFailure,
} from "./checkpoints.ts";
import { isComplete } from "./state/ledger.ts";
import { hasOpenAudits, settleAudits, skipLateAudits } from "./audits.ts";
import { reinstated, withoutQuarantined } from "./blame/strikes.ts";
import { afterLast, decideClaim } from "./claims.ts";
import { abortAttempt, announced, failJob, isOfAttempt, unchanged } from "./decision.ts";
import type { StepDecision } from "./decision.ts";
import type { StepEffect, StepEvent } from "./state/effects.ts";
import { firstExponents } from "./state/exponents.ts";
import { newLoadFailures, withFleet, withoutMisfits } from "./members/eligibility.ts";
import { settleNonFinite } from "./non_finite.ts";
import { hedge, regroup } from "./regroup.ts";
import { afterBlackout, type FleetView, gradientBytesOf, liveHolders } from "./state/training.ts";
import type { Training } from "./state/training.ts";
import type { TrainingPlan } from "./state/plan.ts";
import { decideUpdate } from "./updates.ts";
import { restartIfLost, startAttempt } from "./waiting.ts";

/** See the head of the file. An event of another attempt, job or member changes nothing. */
export function decideStep(
  plan: TrainingPlan,
  training: Training,
  event: StepEvent,
  now: number,
  limits: Limits,
): StepDecision {
  let decision = decideEvent(plan, training, event, now, limits);
  for (;;) {
    const further = nextTransition(plan, training, decision.training, now, limits);
    if (further === null) return decision;
    decision = { ...further, effects: [...decision.effects, ...further.effects] };
  }
}

/** What is due already, whatever has happened; null where nothing is. */
function nextTransition(
  plan: TrainingPlan,
  before: Training,
  training: Training,
  now: number,
  limits: Limits,
): StepDecision | null {
  const { phase, quarantined, members, fleet } = training;
  if (isJobEnd(phase)) return null;
  if (quarantined.size > before.quarantined.size && fleet.members.length === 0) {
    const names = [...quarantined].join(", ");
    const message = `no worker is left that can do step ${training.step}: ${names} ` +
      `${quarantined.size === 1 ? "is" : "are"} in quarantine; the events say why`;
    return failJob(training, "aborted", message);
  }
  if (phase === "waiting") return startAttempt(plan, training, now, limits);
  if (phase !== "compute" && phase !== "reduce") return null;
  if (members.some(({ worker }) => quarantined.has(worker))) return regroup(plan, training, now, limits);
  if (phase === "reduce") return null;
  const settled = settleNonFinite(plan, training, now, limits) ?? settleAudits(plan, training);
  if (settled !== null) return settled;
  if (!isComplete(training.ledger) || hasOpenAudits(training)) return null;
  return afterLast(training, now, limits);
}

function decideEvent(
  plan: TrainingPlan,
  training: Training,
  event: StepEvent,
  now: number,
  limits: Limits,
): StepDecision {
  switch (event.type) {
    case "fleet":
      return decideFleet(plan, training, event.fleet, now, limits);
    case "report":
      return decideClaim(plan, training, event.report, now, limits);
    case "update":
      return decideUpdate(plan, training, event.report, now, limits);
    case "failure":
      return decideFailure(training, event.report, now, limits);
    case "checkpoint":
      return decideCheckpoint(plan, training, event.report, now, limits);
    case "stored":
      return decideStored(plan, training, event.sequence, now, limits);
    case "notQueued":
      if (
        event.step !== training.step || event.attempt !== training.attempt || training.phase !== "compute"
      ) {
        return unchanged(training, "an attempt that is over could not be queued");
      }
      return abortAttempt(training, event.reason, [], now, limits);
    case "blackout":
      return unchanged(
        afterBlackout(training, event.milliseconds, now),
        `nobody could be heard for ${event.milliseconds} ms`,
      );
    case "damaged":
      return decideDamaged(training, event.step, now, limits);
    case "reinstate":
      return announced(reinstated(training, event.worker), {}, `${event.worker} is reinstated`);
    case "tick":
      return decideTick(plan, training, now, limits);
  }
}

/** Who fails names suspects: itself is believed, others need a second accuser (accusations.ts). */
function decideFailure(
  training: Training,
  report: AttemptFailure,
  now: number,
  limits: Limits,
): StepDecision {
  const { worker, reason, suspects } = report;
  const isCurrent = isOfAttempt(training, report);
  const seen = isCurrent ? training : training.givenUp;
  const isKnown = seen !== null && report.term === training.term && report.step === seen.step &&
    report.attempt === seen.attempt && memberAmong(seen.members, report) !== undefined;
  if (!isKnown) return unchanged(training, `${worker} failed at an attempt that is over`);
  const why = `${worker}: ${reason}`;
  const isHeard = training.blackoutMs < limits.reconnectGraceMs;
  const { training: told, effects } = isHeard
    ? accuse(training, seen, worker, suspects, reason, limits)
    : { training, effects: [] };
  if (!isCurrent) return unchanged(told, `${worker} tells of an attempt that is given up`, effects);
  const decision = abortAttempt(told, why, suspects.includes(worker) ? [worker] : [], now, limits);
  return { ...decision, effects: [...decision.effects, ...effects] };
}

function decideFleet(
  plan: TrainingPlan,
  training: Training,
  whole: FleetView,
  now: number,
  limits: Limits,
): StepDecision {
  const { training: checked, effects: told, ...fitting } = withoutMisfits(plan, training, whole);
  const fleet = withoutQuarantined(fitting.fleet, training.quarantined);
  const effects = [...told, ...newLoadFailures(plan, training.fleet, fleet)];
  const seen = withFleet(plan, checked, fleet, now);
  const isNews = seen.holders !== training.holders || fleet.generation !== training.fleet.generation;
  const next = isNews ? { ...seen, revision: training.revision + 1 } : seen;
  const and = (decision: StepDecision) => ({ ...decision, effects: [...effects, ...decision.effects] });
  if (training.phase === "compute" || training.phase === "reduce") {
    const regrouped = regroup(plan, next, now, limits);
    if (regrouped !== null) return and(regrouped);
  }
  if (training.phase === "checkpoint") {
    const { checkpointWriter: writer } = training;
    const holders = liveHolders(next);
    const isWanted = writer === null
      ? checkpointCandidate(next, now) !== null
      : !holders.some(({ worker }) => worker === writer);
    if (isWanted) return and(chooseCheckpointWriter(next, [], now));
  }
  return unchanged(next, "the fleet as it is now", effects);
}

function decideStored(
  plan: TrainingPlan,
  training: Training,
  sequence: number,
  now: number,
  limits: Limits,
): StepDecision {
  const entry = training.pending;
  if (training.phase !== "commit" || entry === null) return unchanged(training, "no commit was on its way");
  const committed: Training = {
    ...training,
    committed: entry,
    sequence,
    pending: null,
    failedAudits: 0,
    holders: new Set(training.members.map(({ incarnation }) => incarnation)),
    notWaitedFor: new Set(),
  };
  if (entry.step === 0) {
    return announced(committed, { phase: "waiting", since: now }, "the initial adapter is agreed on");
  }
  const effects: StepEffect[] = [{
    type: "committed",
    entry,
    seconds: (now - training.stepStartedAt) / 1000,
    attemptSeconds: (now - training.attemptStartedAt) / 1000,
  }];
  if (plan.checkpointSteps.includes(entry.step)) {
    const begun = { ...committed, checkpointAttempts: 0, checkpointFailures: new Map(), notBefore: now };
    return chooseCheckpointWriter(begun, effects, now);
  }
  return nextStep(plan, committed, effects, now, limits);
}

/**
 * Goes on after the newest commit of a log, which an earlier coordinator has written.
 * @param fresh how a start from the beginning would begin
 * @param stored whether the adapter of that step is stored, where it has to be, and its training state
 */
export function resume(
  plan: TrainingPlan,
  fresh: Training,
  newest: { readonly sequence: number; readonly entry: CommitEntry },
  stored: { readonly adapter: boolean; readonly state: boolean },
  now: number,
  limits: Limits,
): StepDecision {
  const { entry, sequence } = newest;
  const training: Training = {
    ...fresh,
    committed: entry,
    sequence,
    step: Math.max(1, entry.step),
    storedStep: stored.state ? entry.step : null,
  };
  const reason = `goes on after step ${entry.step}`;
  if (entry.step === 0) return unchanged(training, reason);
  if (plan.checkpointSteps.includes(entry.step) && !stored.adapter) {
    return chooseCheckpointWriter(training, [], now);
  }
  return nextStep(plan, training, [], now, limits);
}

/** The next step from its first attempt on, or the end. */
function nextStep(
  plan: TrainingPlan,
  training: Training,
  effects: readonly StepEffect[],
  now: number,
  limits: Limits,
): StepDecision {
  const entry = training.committed!;
  if (entry.step >= plan.totalSteps) {
    return announced(
      training,
      { phase: "done", since: now, members: [], weights: [] },
      "the last step is committed",
      [
        ...effects,
        { type: "done" },
      ],
    );
  }
  const step = entry.step + 1;
  const maxAbs = decodeFloats(entry.maxAbs);
  return announced(
    training,
    {
      step,
      attempt: 0,
      phase: "waiting",
      since: now,
      stepStartedAt: now,
      failures: 0,
      excused: 0,
      notBefore: now,
      members: [],
      weights: [],
      checkpointWriter: null,
      exponents: firstExponents(plan, step, maxAbs, maxAbs.length, limits),
    },
    `step ${entry.step} is committed`,
    effects,
  );
}

function decideCheckpoint(
  plan: TrainingPlan,
  training: Training,
  report: CheckpointReport,
  now: number,
  limits: Limits,
): StepDecision {
  const { worker, step, outcome } = report;
  if (
    training.phase !== "checkpoint" || step !== training.committed?.step ||
    worker !== training.checkpointWriter
  ) {
    return unchanged(training, `${worker} tells of a checkpoint that nobody waits for`);
  }
  if (outcome.type === "failed") {
    const why = `${worker}: ${outcome.reason}`;
    return afterCheckpointFailure(
      plan,
      withCheckpointFailure(training, worker, why, false),
      why,
      now,
      limits,
    );
  }
  const isStored = outcome.files.some(({ name }) => name === STATE_FILE_NAME);
  const stored = isStored ? { ...training, storedStep: step } : training;
  return nextStep(plan, stored, [{ type: "checkpointed", report }], now, limits);
}

/** The stored adapter of the newest commit is lost: while workers hold that state, one of them writes it again. */
function decideDamaged(training: Training, step: number, now: number, limits: Limits): StepDecision {
  const { phase, committed } = training;
  const isHeld = committed?.step === step && (phase === "compute" || phase === "reduce") &&
    liveHolders(training).length > 0;
  if (!isHeld) return unchanged(training, `nobody holds step ${step} any more, or it is being written`);
  const why = `the stored adapter of step ${step} is damaged and is written again`;
  const aborted = abortAttempt(training, why, [], now, limits);
  const afresh = { checkpointAttempts: 0, checkpointFailures: new Map(), notBefore: now };
  return chooseCheckpointWriter({ ...aborted.training, ...afresh }, aborted.effects, now);
}

/** `training` has counted the failure. */
function afterCheckpointFailure(
  plan: TrainingPlan,
  training: Training,
  why: string,
  now: number,
  limits: Limits,
): StepDecision {
  if (!isAbandoned(plan, training, limits)) return nextCheckpointWriter(training, why, now, limits);
  const { committed, checkpointAttempts } = training;
  const message =
    `Training goes on without the checkpoint of step ${committed!.step}: it could not be stored in ` +
    `${checkpointAttempts} attempts.`;
  const effects = checkpointFailureEvents(training, why, limits);
  return nextStep(plan, training, [...effects, { type: "event", level: "warn", message }], now, limits);
}

function decideTick(plan: TrainingPlan, training: Training, now: number, limits: Limits): StepDecision {
  switch (training.phase) {
    case "compute": {
      const early = hedge(training, now, limits) ?? skipLateAudits(training, now, limits);
      if (early !== null) return early;
      const waitMs = microBatchWaitMs(training.slowestMs, limits);
      if (now - Math.max(training.progressAt, training.workedAt) < waitMs) break;
      return abortAttempt(
        training,
        `no micro-batch was counted for ${Math.round(waitMs / 1000)} s`,
        [],
        now,
        limits,
      );
    }
    case "reduce": {
      // Workers give up after the first of these and say whom they waited for; who says nothing by now is the suspect.
      const waitMs = roundWaitMs(gradientBytesOf(training), limits) + limits.transferBaseMs;
      if (now - training.since < waitMs) break;
      const silent = training.members.map(({ worker }) => worker).filter((worker) =>
        !training.updates.has(worker)
      );
      return abortAttempt(
        training,
        `${silent.join(", ")} did not finish the all-reduce in ${Math.round(waitMs / 1000)} s`,
        silent,
        now,
        limits,
      );
    }
    case "checkpoint": {
      const writer = training.checkpointWriter;
      if (writer === null) {
        if (checkpointCandidate(training, now) !== null) return chooseCheckpointWriter(training, [], now);
        return restartIfLost(training, training.since, now, limits) ?? unchanged(training, "waiting");
      }
      const waitMs = checkpointWaitMs(gradientBytesOf(training), limits);
      if (now - training.since < waitMs) break;
      const why = `${writer} did not store the adapter in ${Math.round(waitMs / 1000)} s`;
      return afterCheckpointFailure(
        plan,
        withCheckpointFailure(training, writer, why, true),
        why,
        now,
        limits,
      );
    }
  }
  return unchanged(training, "nothing is due");
}
