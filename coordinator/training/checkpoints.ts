/**
 * Who writes the adapter after a step that is kept. After a failure a different holder is asked at once, the same one again after
 * a growing pause. A full disk costs one checkpoint, never the job: training goes on without it. Only the last step's adapter is
 * insisted on: it is the job's result.
 */
import { diskPauseMs, type Limits } from "../../shared/protocol/limits.ts";
import { withStrikes } from "./blame/strikes.ts";
import { announced, type Decision, failJob } from "./decision.ts";
import { type StepEffect, warning } from "./state/effects.ts";
import type { FleetMember } from "./state/fleet_view.ts";
import type { StepContext } from "./state/plan.ts";
import { lastStepOf, liveHolders, type Training } from "./state/training.ts";

/** Whether a checkpoint that has failed again is abandoned, so that the next step begins. */
export function isAbandoned({ plan, limits }: StepContext, training: Training): boolean {
  return training.committed!.step < lastStepOf(plan, training) &&
    training.checkpointAttempts >= limits.checkpointAttempts;
}

/** Counts a failure of `worker`, with a strike if it was silent (`isSuspect`), without one if its disk is full. */
export function withCheckpointFailure(
  training: Training,
  worker: string,
  why: string,
  isSuspect: boolean,
): Training {
  const { committed, checkpointAttempts, checkpointFailures } = training;
  const reason = `the adapter of step ${committed!.step}: ${why}`;
  return {
    ...isSuspect ? withStrikes(training, [worker], reason) : training,
    checkpointFailures: new Map(checkpointFailures).set(worker, 1 + failuresOf(training, worker)),
    checkpointAttempts: checkpointAttempts + 1,
  };
}

/** An event for the user, ever more rarely if a disk stays full for hours. */
export function checkpointFailureEvents(training: Training, why: string, limits: Limits): StepEffect[] {
  const { checkpointAttempts: attempts } = training;
  const isReported = attempts <= limits.checkpointAttempts || Number.isInteger(Math.log2(attempts));
  return isReported
    ? [warning(`The adapter of step ${training.committed!.step} is not stored: ${why}.`)]
    : [];
}

/** After a failure that `training` has counted: the next holder in turn, after a pause if it has failed before. */
export function nextCheckpointWriter(context: StepContext, training: Training, why: string): Decision {
  const { now, limits } = context;
  const { committed, stepStartedAt, checkpointAttempts } = training;
  const triedMs = now - Math.max(committed!.committedAt, stepStartedAt);
  if (triedMs >= limits.finalCheckpointPatienceMs) {
    const message = `the adapter of step ${committed!.step} could not be stored in ${checkpointAttempts} ` +
      `attempts over ${Math.round(triedMs / 60_000)} minutes: ${why}`;
    return failJob(training, "storage", message);
  }
  const next = inTurn(training)[0];
  const pauseMs = next === undefined ? 0 : diskPauseMs(failuresOf(training, next.worker), limits);
  const effects = checkpointFailureEvents(training, why, limits);
  return chooseCheckpointWriter({ ...training, notBefore: now + pauseMs }, effects, now);
}

/** Assigns the next holder in turn. Without one, or in a pause, the job waits for a holder to return or for the pause to end. */
export function chooseCheckpointWriter(
  training: Training,
  effects: readonly StepEffect[],
  now: number,
): Decision {
  const writer = checkpointCandidate(training, now)?.worker ?? null;
  const reason = writer === null ? "no worker can store the adapter now" : `${writer} stores the adapter`;
  return announced(training, { phase: "checkpoint", since: now, checkpointWriter: writer }, reason, effects);
}

/** The holder that can write the checkpoint now; null if there is none, or if it has failed and has to pause. */
export function checkpointCandidate(training: Training, now: number): FleetMember | null {
  const next = inTurn(training)[0];
  if (next === undefined) return null;
  return now < training.notBefore && failuresOf(training, next.worker) > 0 ? null : next;
}

/** Holders by failures at this checkpoint, those that leave last, then by strikes. */
function inTurn(training: Training): readonly FleetMember[] {
  const strikesOf = ({ worker }: FleetMember) => training.strikes.get(worker)?.length ?? 0;
  return [...liveHolders(training)].sort((a, b) =>
    failuresOf(training, a.worker) - failuresOf(training, b.worker) ||
    Number(a.draining) - Number(b.draining) || strikesOf(a) - strikesOf(b)
  );
}

function failuresOf({ checkpointFailures }: Training, worker: string): number {
  return checkpointFailures.get(worker) ?? 0;
}
