/** The forms in which all decisions are made. */
import type { ErrorCode } from "../../shared/errors.ts";
import { attemptPauseMs } from "../../shared/protocol/limits.ts";
import type { AttemptFailure } from "../../shared/protocol/messages_worker.ts";
import { memberAmong } from "../../shared/protocol/sorted_members.ts";
import { watchAccusers } from "./blame/accusations.ts";
import { blame } from "./blame/strikes.ts";
import { type StepEffect, warning } from "./state/effects.ts";
import type { StepContext } from "./state/plan.ts";
import type { Training } from "./state/training.ts";

export interface Decision {
  readonly training: Training;
  readonly effects: readonly StepEffect[];
  readonly reason: string;
}

/** Whether a report is about the current attempt and its sender is a member of it. */
export function isOfAttempt(
  { phase, term, step, attempt, members }: Training,
  report: Pick<AttemptFailure, "worker" | "incarnation" | "term" | "step" | "attempt">,
): boolean {
  return (phase === "compute" || phase === "reduce") && report.term === term && report.step === step &&
    report.attempt === attempt && memberAmong(members, report) !== undefined;
}

export function unchanged(training: Training, reason: string, effects: readonly StepEffect[] = []): Decision {
  return { training, effects, reason };
}

/** A change that is announced to workers. */
export function announced(
  training: Training,
  change: Partial<Training>,
  reason: string,
  effects: readonly StepEffect[] = [],
): Decision {
  return { training: { ...training, ...change, revision: training.revision + 1 }, effects, reason };
}

/**
 * Ends the attempt; the next one begins after a pause that grows with the step's failures. Suspects get a strike and the attempt
 * counts towards the step's limit, unless there was a longer blackout: without the broker all members wait in vain.
 */
export function abortAttempt(
  { now, limits }: StepContext,
  training: Training,
  why: string,
  suspects: readonly string[],
): Decision {
  const { term, step, attempt, members, weights } = training;
  const wasBlackout = training.blackoutMs >= limits.reconnectGraceMs;
  const isMember = (suspect: string) => members.some(({ worker }) => worker === suspect);
  const suspected = wasBlackout ? [] : suspects.filter(isMember);
  const failures = training.failures + 1;
  const reason = `step ${step} is computed again: ${why}`;
  const watched = watchAccusers(training, false, limits);
  const blamed = blame(watched.training, suspected, `step ${step}: ${why}`, limits);
  const change = {
    ...{ phase: "waiting" as const, since: now, failures, excused: training.excused + Number(wasBlackout) },
    notBefore: now + attemptPauseMs(failures, `${term}/${step}/${attempt}`, limits),
    abandoned: { step, attempt, members, weights },
  };
  const event = warning(sentence(reason));
  return announced(blamed.training, change, reason, [event, ...watched.effects, ...blamed.effects]);
}

/** Enqueues micro-batches of the attempt again: the effect belongs to a decision with this training. */
export function requeue(
  training: Training,
  indices: readonly number[],
  purge: boolean,
): { readonly training: Training; readonly effect: StepEffect } {
  const { step, attempt, requeues } = training;
  const time = requeues + 1;
  return {
    training: { ...training, requeues: time },
    effect: { type: "requeue", step, attempt, indices, time, purge },
  };
}

/** Ends the job with an error. */
export function failJob(
  training: Training,
  code: ErrorCode,
  message: string,
  effects: readonly StepEffect[] = [],
  param: string | null = null,
): Decision {
  const failed: StepEffect = { type: "failed", code, message, param };
  return announced(training, { phase: "failed" }, message, [...effects, failed]);
}

/** A reason as a sentence for the user. */
export function sentence(reason: string): string {
  return `${reason[0]!.toUpperCase()}${reason.slice(1)}.`;
}
