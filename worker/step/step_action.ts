/** What a worker does next, from the announced state of the step and its own: pure, so that every case has a test. */
import {
  isJobEnd,
  type JobEnd,
  type MemberRef,
  type StepState,
} from "../../shared/protocol/messages_coordinator.ts";
import type { WorkItemHeader } from "../../shared/protocol/messages_work_item.ts";
import type { Committed } from "../../shared/protocol/messages_worker.ts";
import { memberAmong } from "../../shared/protocol/sorted_members.ts";
import { isFingerprint } from "../../shared/protocol/state/state_digest.ts";

/** Names an attempt: gradient sums stay valid for all of it, even if the members change. */
export interface AttemptId {
  readonly step: number;
  readonly attempt: number;
  readonly term: number;
}

export interface OwnState {
  readonly self: MemberRef;
  readonly committed: Committed;
  /** The attempt of the gradient sums and the pending update; null if there are neither. */
  readonly attempt: AttemptId | null;
  /** The computed update that is not yet committed. */
  readonly pending: Committed | null;
  /** The evaluation that this worker cannot take part in, by its committed step; null for none. */
  readonly failedEvaluation: Pick<AttemptId, "term" | "step"> | null;
  /** The generation in which it entered the attempt's round, or failed; null for none. */
  readonly spentIn: number | null;
  /**
   * The last reported checkpoint, with its term and generation: a later coordinator may have missed the report, and the checkpoint
   * may have been found lost since.
   */
  readonly checkpoint: { readonly term: number; readonly generation: number; readonly step: number } | null;
}

export type Action =
  | "commit" // make the pending update the current state
  | "rollback" // forget sums and pending update
  | "recover" // load the newest commit from a holder
  | "compute" // take a micro-batch
  | "reduce" // enter the round
  | "evaluate" // take a micro-batch of the validation rows
  | "checkpoint" // write and upload the adapter
  | "wait" // until the state changes
  | "end"; // the job is over

export interface Decision {
  readonly action: Action;
  readonly reason: string;
}

export function nextAction(state: StepState, own: OwnState): Decision {
  const { phase, committed } = state;
  if (own.pending !== null && sameCommit(committed, own.pending)) {
    return { action: "commit", reason: `step ${own.pending.step} is committed` };
  }
  if (isJobEnd(phase)) return { action: "end", reason: endOf(phase, state) };
  if (own.attempt !== null && isOver(own.attempt, state)) {
    return {
      action: "rollback",
      reason: `attempt ${own.attempt.attempt} of step ${own.attempt.step} is over`,
    };
  }
  if (state.quarantined.includes(own.self.worker)) {
    return { action: "wait", reason: "this worker is in quarantine" };
  }
  if (committed !== null && !sameCommit(committed, own.committed)) {
    const { step } = committed;
    if (holdersFor(state, own.self).length === 0) {
      return { action: "wait", reason: `no worker holds step ${step}` };
    }
    return { action: "recover", reason: `step ${step} is committed, this worker has ${own.committed.step}` };
  }
  if (phase === "evaluate" && committed !== null) {
    const { failedEvaluation: failed } = own;
    return failed?.term === state.term && failed.step === committed.step
      ? { action: "wait", reason: `this worker cannot evaluate step ${committed.step}` }
      : { action: "evaluate", reason: `the rows to evaluate after step ${committed.step}` };
  }
  if (phase === "checkpoint") {
    const isReported = own.checkpoint?.term === state.term &&
      own.checkpoint.generation === state.generation &&
      own.checkpoint.step === committed?.step;
    const isDue = state.checkpointWriter === own.self.worker && committed !== null && !isReported;
    return isDue
      ? { action: "checkpoint", reason: `this worker writes the adapter of step ${committed.step}` }
      : { action: "wait", reason: "a different worker writes the adapter, or it is written" };
  }
  if (phase !== "compute" && phase !== "reduce") return { action: "wait", reason: `the phase is ${phase}` };
  if (!isMember(state, own.self)) return { action: "wait", reason: "this worker is in no attempt" };
  if (own.attempt !== null && own.spentIn === state.generation) {
    return { action: "wait", reason: "this worker has done its part of the round" };
  }
  return { action: phase, reason: `attempt ${state.attempt} of step ${state.step}` };
}

/** The job's end, for the worker's log. */
function endOf(end: JobEnd, { jobId, step, committed }: StepState): string {
  switch (end) {
    case "done":
      return `job ${jobId} is done after step ${committed?.step ?? step}`;
    case "failed":
      return `job ${jobId} has failed at step ${step}: its events explain why`;
    case "cancelled":
      return `job ${jobId} was cancelled at step ${step}`;
  }
}

/** Whether the attempt's sums and update are useless now, unless committed. */
export function isOver(id: AttemptId, state: StepState): boolean {
  const isDifferent = id.step !== state.step || id.attempt !== state.attempt || id.term !== state.term;
  return isDifferent || (state.phase !== "compute" && state.phase !== "reduce" && state.phase !== "commit");
}

/** Whether micro-batches of the attempt are still computed: some are not counted yet. */
export function isComputed(id: AttemptId, state: StepState): boolean {
  return !isOver(id, state) && state.phase === "compute";
}

/** Whether the round of `entered` is over: a new membership starts a new one. */
export function isRoundOver(entered: StepState, state: StepState): boolean {
  return isOver(attemptOf(entered), state) || state.generation !== entered.generation ||
    state.phase === "compute";
}

export function attemptOf({ term, step, attempt }: StepState): AttemptId {
  return { term, step, attempt };
}

/** Whether the worker takes part in the attempt under its current incarnation. */
export function isMember(state: StepState, self: MemberRef): boolean {
  return memberAmong(state.members, self) !== undefined;
}

/** Other workers that hold the newest commit. */
export function holdersFor(state: StepState, self: MemberRef): readonly string[] {
  return state.holders.filter((worker) => worker !== self.worker);
}

/**
 * Whether the worker is dispensable: in no attempt, and not the only source of what others still need. `isServing`: a peer loads
 * its state.
 */
export function mayLeave(
  state: StepState | null,
  { self, committed, pending }: Pick<OwnState, "self" | "committed" | "pending">,
  { hasOthers, isServing }: { readonly hasOthers: boolean; readonly isServing: boolean },
): boolean {
  if (state === null || isJobEnd(state.phase)) return true;
  if (state.phase === "checkpoint") return state.checkpointWriter !== self.worker;
  if (state.phase !== "waiting" && isMember(state, self)) return false;
  const isOnlyHolder = state.holders.length === 1 && state.holders[0] === self.worker;
  // It may have to do one more step, whose state others can load.
  const isUnloadable = isFingerprint(state.committed?.digest ?? "") && isMember(state, self) &&
    (sameCommit(state.committed, committed) || sameCommit(state.committed, pending));
  return !hasOthers || !(isOnlyHolder || isUnloadable || isServing);
}

export function sameCommit(a: Committed | null, b: Committed | null): boolean {
  return a?.step === b?.step && a?.digest === b?.digest;
}

/** `older`: no longer needed. `newer`: its state has not arrived yet. */
export function placeOf(
  { kind, step, attempt }: Pick<WorkItemHeader, "kind" | "step" | "attempt">,
  state: StepState,
): "older" | "current" | "newer" {
  if (kind === "evaluation") return placeOfEvaluation(step, state);
  const order = step - state.step || attempt - state.attempt;
  if (order !== 0) return order < 0 ? "older" : "newer";
  return state.phase === "compute" ? "current" : "older";
}

/** An evaluation follows the commit of its step, and precedes the next step. */
function placeOfEvaluation(
  step: number,
  { phase, committed, ...state }: StepState,
): "older" | "current" | "newer" {
  const newest = committed?.step ?? -1;
  if (step !== newest) return step < newest ? "older" : "newer";
  if (phase === "evaluate") return "current";
  // Before it the state of the commit may still be on its way; step 0 has none of its own.
  return state.step === step && phase === "commit" ? "newer" : "older";
}

/** Whether the evaluation of `state` still goes on. */
export function isEvaluating({ term, committed }: StepState, newer: StepState): boolean {
  return newer.phase === "evaluate" && newer.term === term && sameCommit(newer.committed, committed);
}
