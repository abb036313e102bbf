/** What a worker does next, from the announced state of the step and its own: pure, so that every case has a test. */
import { isJobEnd } from "../../shared/protocol/messages_coordinator.ts";
import type { JobEnd, MemberRef, StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { WorkItemHeader } from "../../shared/protocol/messages_work_item.ts";
import type { Committed } from "../../shared/protocol/messages_worker.ts";
import { memberAmong } from "../../shared/protocol/sorted_members.ts";

/** Names an attempt for good: gradient sums are good as long as it stays, whoever else comes and goes. */
export interface AttemptId {
  readonly step: number;
  readonly attempt: number;
  readonly term: number;
}

/** A worker's own side of a job. */
export interface OwnState {
  readonly self: MemberRef;
  readonly committed: Committed;
  /** The attempt that the gradient sums and the pending update belong to; null: there are neither. */
  readonly attempt: AttemptId | null;
  /** The update that is computed and not yet committed. */
  readonly pending: Committed | null;
  /** The generation in which it has done its part of the attempt: has entered the round, or failed; null for none. */
  readonly spentIn: number | null;
  /**
   * The last checkpoint that it has reported, in which term and generation: a later coordinator may not have heard it, and a
   * later attempt may have found that it is lost.
   */
  readonly checkpoint:
    | { readonly term: number; readonly generation: number; readonly step: number }
    | null;
}

export type Action =
  /** Make the pending update the current state. */
  | "commit"
  /** Forget sums and pending update. */
  | "rollback"
  /** Load the newest commit from somebody who holds it. */
  | "recover"
  /** Take a micro-batch. */
  | "compute"
  /** Enter the round. */
  | "reduce"
  /** Write and upload the adapter. */
  | "checkpoint"
  /** Nothing, until the state changes. */
  | "wait"
  /** The job is over. */
  | "end";

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
    return holdersFor(state, own.self).length > 0
      ? {
        action: "recover",
        reason: `step ${committed.step} is committed, this worker has ${own.committed.step}`,
      }
      : { action: "wait", reason: `nobody holds step ${committed.step}` };
  }
  if (phase === "checkpoint") {
    const isReported = own.checkpoint?.term === state.term &&
      own.checkpoint.generation === state.generation &&
      own.checkpoint.step === committed?.step;
    const isDue = state.checkpointWriter === own.self.worker && committed !== null && !isReported;
    return isDue
      ? { action: "checkpoint", reason: `this worker writes the adapter of step ${committed.step}` }
      : { action: "wait", reason: "somebody else writes the adapter, or it is written" };
  }
  if (phase !== "compute" && phase !== "reduce") return { action: "wait", reason: `the phase is ${phase}` };
  if (!isMember(state, own.self)) return { action: "wait", reason: "this worker is in no attempt" };
  if (own.attempt !== null && own.spentIn === state.generation) {
    return { action: "wait", reason: "this worker has done its part of the round" };
  }
  return { action: phase, reason: `attempt ${state.attempt} of step ${state.step}` };
}

/** For whoever reads the worker's log. */
function endOf(end: JobEnd, { jobId, step, committed }: StepState): string {
  switch (end) {
    case "done":
      return `job ${jobId} is done after step ${committed?.step ?? step}`;
    case "failed":
      return `job ${jobId} has failed at step ${step}: its events say why`;
    case "cancelled":
      return `job ${jobId} was cancelled at step ${step}`;
  }
}

/** Whether nothing that belongs to the attempt can be of use any more, unless it is committed. */
export function isOver(id: AttemptId, state: StepState): boolean {
  const isAnother = id.step !== state.step || id.attempt !== state.attempt ||
    id.term !== state.term;
  return isAnother || (state.phase !== "compute" && state.phase !== "reduce" && state.phase !== "commit");
}

/** Whether micro-batches of the attempt are still computed: that not all of them are counted. */
export function isComputed(id: AttemptId, state: StepState): boolean {
  return !isOver(id, state) && state.phase === "compute";
}

/** Whether the round of `entered` is over: another membership has another one. */
export function isRoundOver(entered: StepState, state: StepState): boolean {
  return isOver(attemptOf(entered), state) || state.generation !== entered.generation ||
    state.phase === "compute";
}

export function attemptOf({ step, attempt, term }: StepState): AttemptId {
  return { step, attempt, term };
}

/** Whether the worker takes part in the attempt, under the incarnation that it has now. */
export function isMember(state: StepState, self: MemberRef): boolean {
  return memberAmong(state.members, self) !== undefined;
}

/** Others who hold the newest commit. */
export function holdersFor(state: StepState, self: MemberRef): readonly string[] {
  return state.holders.filter((worker) => worker !== self.worker);
}

/**
 * Whether nobody misses the worker: it is in no attempt, and not the only one to have what others still need. `isServing`:
 * somebody loads its state.
 */
export function mayLeave(
  state: StepState | null,
  self: MemberRef,
  { hasOthers, isServing }: { readonly hasOthers: boolean; readonly isServing: boolean },
): boolean {
  if (state === null || isJobEnd(state.phase)) return true;
  if (state.phase === "checkpoint") return state.checkpointWriter !== self.worker;
  if (state.phase !== "waiting" && isMember(state, self)) return false;
  const isOnlyHolder = state.holders.length === 1 && state.holders[0] === self.worker;
  return !hasOthers || !(isOnlyHolder || isServing);
}

export function sameCommit(a: Committed | null, b: Committed | null): boolean {
  return a?.step === b?.step && a?.digest === b?.digest;
}

/** `older`: nobody needs it any more. `newer`: the state that it belongs to has not been heard yet. */
export function placeOf(
  { step, attempt }: Pick<WorkItemHeader, "step" | "attempt">,
  state: StepState,
): "older" | "current" | "newer" {
  const order = step - state.step || attempt - state.attempt;
  if (order !== 0) return order < 0 ? "older" : "newer";
  return state.phase === "compute" ? "current" : "older";
}
