/** What can happen to a job's training, what follows from it, and the few words in which all decisions are made. */
import type { ErrorCode } from "../../shared/errors.ts";
import { attemptPauseMs, type Limits } from "../../shared/protocol/limits.ts";
import type {
  AttemptFailure,
  CheckpointReport,
  CommitEntry,
  MicroBatchReport,
  UpdateReport,
  Verdict,
} from "../../shared/protocol/messages.ts";
import { memberAmong } from "../../shared/protocol/sorted_members.ts";
import { watchAccusers } from "./accusations.ts";
import { blame } from "./strikes.ts";
import type { WorkerQuarantine } from "../fleet/fleet.ts";
import type { FleetView, Training } from "./state.ts";

export type StepEvent =
  | { readonly type: "fleet"; readonly fleet: FleetView }
  | { readonly type: "report"; readonly report: MicroBatchReport }
  | { readonly type: "update"; readonly report: UpdateReport }
  | { readonly type: "failure"; readonly report: AttemptFailure }
  | { readonly type: "checkpoint"; readonly report: CheckpointReport }
  /** The pending commit is in the log. */
  | { readonly type: "stored"; readonly sequence: number }
  /** Somebody says that a worker in quarantine shall have work again. */
  | { readonly type: "reinstate"; readonly worker: string }
  /** The stored adapter of this step was found damaged. */
  | { readonly type: "damaged"; readonly step: number }
  /** For so long nobody can have been heard: the coordinator slept, or had no connection to the broker. */
  | { readonly type: "deaf"; readonly milliseconds: number }
  /** The attempt's micro-batches could not be put on the queue. */
  | { readonly type: "notQueued"; readonly step: number; readonly attempt: number; readonly reason: string }
  | { readonly type: "tick" };

export type StepEffect =
  /** Answer the report that is being decided on. */
  | { readonly type: "verdict"; readonly verdict: Verdict }
  /** Put all micro-batches of the attempt on the queue. */
  | { readonly type: "enqueue"; readonly step: number; readonly attempt: number }
  /** Put some of them on the queue again; `time` tells it from other times. */
  | {
    readonly type: "requeue";
    readonly step: number;
    readonly attempt: number;
    readonly indices: readonly number[];
    readonly time: number;
    /** What still waits on the queue is among them. */
    readonly purge: boolean;
  }
  /** A micro-batch is left out of the step. */
  | {
    readonly type: "excluded";
    readonly step: number;
    readonly index: number;
    readonly workers: readonly string[];
  }
  /** A worker gets no work any more, `until` what is told. */
  | {
    readonly type: "quarantine";
    readonly worker: string;
    readonly reasons: readonly string[];
    readonly until: WorkerQuarantine["until"];
  }
  | { readonly type: "append"; readonly entry: CommitEntry; readonly expectedLast: number }
  | {
    readonly type: "committed";
    readonly entry: CommitEntry;
    /** From the step's first attempt to its commit, and of the attempt that was committed. */
    readonly seconds: number;
    readonly attemptSeconds: number;
  }
  | { readonly type: "checkpointed"; readonly report: CheckpointReport }
  /** Tell the user. */
  | { readonly type: "event"; readonly level: "info" | "warn" | "error"; readonly message: string }
  | { readonly type: "done" }
  /** Nobody has the newest state any more. */
  | { readonly type: "restart"; readonly reason: string }
  | {
    readonly type: "failed";
    readonly code: ErrorCode;
    readonly message: string;
    readonly param?: string | null;
  };

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
  training: Training,
  why: string,
  suspects: readonly string[],
  now: number,
  limits: Limits,
): StepDecision {
  const isMember = (suspect: string) => training.members.some(({ worker }) => worker === suspect);
  const wasDeaf = training.deafMs >= limits.reconnectGraceMs;
  const suspected = wasDeaf ? [] : suspects.filter(isMember);
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
    excused: training.excused + Number(wasDeaf),
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
