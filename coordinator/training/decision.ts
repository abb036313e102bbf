/** What can happen to a job's training, what follows from it, and the few words in which all decisions are made. */
import type { DecisionContext } from "./state/context.ts";
import type { ErrorCode } from "../../shared/errors.ts";
import { attemptPauseMs } from "../../shared/protocol/limits.ts";
import { memberAmong } from "../../shared/protocol/sorted_members.ts";
import { watchAccusers } from "./blame/accusations.ts";
import { blame } from "./blame/strikes.ts";
import type { Training } from "./state/training.ts";
import type { StepEffect } from "./state/effects.ts";

export interface StepDecision {
  readonly training: Training;
  readonly effects: readonly StepEffect[];
  readonly reason: string;
}

/** Whether a worker's word is about the attempt that is going on, and it is a member of it. */
export function isOfAttempt(
  training: Training,
  word: {
    readonly worker: string;
    readonly incarnation: string;
    readonly term: number;
    readonly step: number;
    readonly attempt: number;
  },
): boolean {
  return (training.phase === "compute" || training.phase === "reduce") && word.term === training.term &&
    word.step === training.step && word.attempt === training.attempt &&
    memberAmong(training.members, word) !== undefined;
}

export function unchanged(
  training: Training,
  reason: string,
  effects: readonly StepEffect[] = [],
): StepDecision {
  return { training, effects, reason };
}

/** A change that is announced. */
export function announced(
  training: Training,
  change: Partial<Training>,
  reason: string,
  effects: readonly StepEffect[] = [],
): StepDecision {
  return { training: { ...training, ...change, revision: training.revision + 1 }, effects, reason };
}

/**
 * Ends the attempt; the next one begins after a pause that grows with the step's failures. Suspects get a strike, and the
 * attempt counts towards the step's limit, unless the coordinator was deaf for more than a moment: where the broker was
 * away, everybody has waited in vain for everybody.
 */
export function abortAttempt(
  context: DecisionContext,
  training: Training,
  why: string,
  suspects: readonly string[],
): StepDecision {
  const { now, limits } = context;
  const isMember = (suspect: string) => training.members.some(({ worker }) => worker === suspect);
  const wasBlackout = training.blackoutMs >= limits.reconnectGraceMs;
  const suspected = wasBlackout ? [] : suspects.filter(isMember);
  const failures = training.failures + 1;
  const reason = `step ${training.step} is computed again: ${why}`;
  const watched = watchAccusers(training, false, limits);
  const blamed = blame(watched.training, suspected, `step ${training.step}: ${why}`, limits);
  const event: StepEffect = { type: "event", level: "warn", message: sentence(reason) };
  const { term, step, attempt, members, weights } = training;
  const change = {
    phase: "waiting",
    since: now,
    failures,
    excused: training.excused + Number(wasBlackout),
    notBefore: now + attemptPauseMs(failures, `${term}/${step}/${attempt}`, limits),
    givenUp: { step, attempt, members, weights },
  } as const;
  return announced(blamed.training, change, reason, [event, ...watched.effects, ...blamed.effects]);
}

/** Some of the attempt's micro-batches once more; the effect is to be added to a decision with this training. */
export function requeue(
  training: Training,
  indices: readonly number[],
  options: { readonly purge: boolean },
): { readonly training: Training; readonly effect: StepEffect } {
  const { step, attempt } = training;
  const time = training.requeues + 1;
  return {
    training: { ...training, requeues: time },
    effect: { type: "requeue", step, attempt, indices, time, purge: options.purge },
  };
}

/** The job is over: it cannot be done. */
export function failJob(
  training: Training,
  code: ErrorCode,
  message: string,
  effects: readonly StepEffect[] = [],
  param: string | null = null,
): StepDecision {
  return announced(training, { phase: "failed" }, message, [...effects, {
    type: "failed",
    code,
    message,
    param,
  }]);
}

/** A reason as a sentence for the user. */
export function sentence(reason: string): string {
  return `${reason[0]!.toUpperCase()}${reason.slice(1)}.`;
}
