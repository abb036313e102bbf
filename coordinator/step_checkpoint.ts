/** Who writes the adapter after a step that is to be kept, and what happens where that fails. */
import type { Limits } from "../shared/limits.ts";
import { withStrikes } from "./step_blame.ts";
import { announced, failJob, type StepDecision, type StepEffect } from "./step_decision.ts";
import { liveHolders, type Training } from "./step_state.ts";

/** After so many failures the disk or the network is to blame, not a worker. */
const MOST_ATTEMPTS = 5;

/** The order goes to another holder of the state, or again to the only one. */
export function nextCheckpointWriter(
  training: Training,
  why: string,
  suspects: readonly string[],
  now: number,
  limits: Limits,
): StepDecision {
  const step = training.committed!.step;
  const checkpointAttempts = training.checkpointAttempts + 1;
  if (checkpointAttempts >= MOST_ATTEMPTS) {
    const message =
      `the adapter of step ${step} could not be stored in ${checkpointAttempts} attempts: ${why}`;
    return failJob(training, "storage", message);
  }
  const effects: StepEffect[] = [
    { type: "event", level: "warn", message: `The adapter of step ${step} is not stored: ${why}.` },
  ];
  return chooseCheckpointWriter(
    { ...withStrikes(training, suspects, `the adapter of step ${step}: ${why}`), checkpointAttempts },
    effects,
    now,
    limits,
  );
}

/**
 * The holder with the fewest strikes, one that stays before one that leaves. Without any the order stands open: the job
 * waits for a holder to come back.
 */
export function chooseCheckpointWriter(
  training: Training,
  effects: readonly StepEffect[],
  now: number,
  limits: Limits,
): StepDecision {
  const strikesOf = (worker: string) =>
    Math.min(limits.strikesUntilDropped, training.strikes.get(worker)?.length ?? 0);
  const writer =
    [...liveHolders(training)].sort((a, b) =>
      Number(a.draining) - Number(b.draining) || strikesOf(a.worker) - strikesOf(b.worker)
    )[0]?.worker ?? null;
  return announced(
    training,
    { phase: "checkpoint", since: now, checkpointWriter: writer },
    writer === null ? "nobody has the adapter that is to be stored" : `${writer} stores the adapter`,
    effects,
  );
}
