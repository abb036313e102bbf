/**
 * Who writes the adapter after a step that is to be kept, and what happens if that fails: another holder is asked at once, the
 * same one again after a pause that grows. A full disk costs one checkpoint, never the job: training goes on without it. Only
 * the last step's adapter is insisted on, since without it there is no result.
 */
import type { DecisionContext } from "./state/context.ts";
import { diskPauseMs, type Limits } from "../../shared/protocol/limits.ts";
import { withStrikes } from "./blame/strikes.ts";
import { announced, failJob, type StepDecision } from "./decision.ts";
import type { StepEffect } from "./state/effects.ts";
import type { FleetMember } from "./state/fleet_view.ts";
import { liveHolders, type Training } from "./state/training.ts";

/** Whether the checkpoint that has just failed again is given up, so that the next step begins. */
export function isAbandoned({ plan, limits }: DecisionContext, training: Training): boolean {
  return training.committed!.step < plan.totalSteps &&
    training.checkpointAttempts >= limits.checkpointAttempts;
}

/** One failure more of `worker`; it has a strike where it was silent (`isSuspect`), none where its disk is full. */
export function withCheckpointFailure(
  training: Training,
  worker: string,
  why: string,
  isSuspect: boolean,
): Training {
  const { step } = training.committed!;
  const failures = new Map(training.checkpointFailures);
  failures.set(worker, 1 + failuresOf(training, worker));
  const blamed = isSuspect
    ? withStrikes(training, [worker], `the adapter of step ${step}: ${why}`)
    : training;
  return { ...blamed, checkpointFailures: failures, checkpointAttempts: training.checkpointAttempts + 1 };
}

/** What the user reads of a failure; a disk that stays full for hours is told of ever more rarely. */
export function checkpointFailureEvents(training: Training, why: string, limits: Limits): StepEffect[] {
  const { checkpointAttempts: attempts } = training;
  const isTold = attempts <= limits.checkpointAttempts || Number.isInteger(Math.log2(attempts));
  const message = `The adapter of step ${training.committed!.step} is not stored: ${why}.`;
  return isTold ? [{ type: "event", level: "warn", message }] : [];
}

/** After a failure that `training` has counted: the next holder in turn, or a pause where it has failed before. */
export function nextCheckpointWriter(
  context: DecisionContext,
  training: Training,
  why: string,
): StepDecision {
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

/**
 * Gives the assignment to the next holder in turn. Without any, or in a pause, the assignment stands open: the job waits for a holder to
 * come back, or for the pause to end.
 */
export function chooseCheckpointWriter(
  training: Training,
  effects: readonly StepEffect[],
  now: number,
): StepDecision {
  const writer = checkpointCandidate(training, now)?.worker ?? null;
  return announced(
    training,
    { phase: "checkpoint", since: now, checkpointWriter: writer },
    writer === null ? "nobody can store the adapter now" : `${writer} stores the adapter`,
    effects,
  );
}

/** Who is to write the checkpoint now; null where nobody holds the state, or whoever does has failed and is to try later. */
export function checkpointCandidate(training: Training, now: number): FleetMember | null {
  const next = inTurn(training)[0];
  if (next === undefined) return null;
  return now < training.notBefore && failuresOf(training, next.worker) > 0 ? null : next;
}

/** Holders: the one with the fewest failures at this checkpoint first, one that stays before one that leaves, then by strikes. */
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
