/** Computes one gradient and claims it: it is added to the sums only once the coordinator has counted it for this worker. */
import type { WorkItem } from "../../shared/bus/bus.ts";
import type { Assignment, StepState } from "../../shared/protocol/messages_coordinator.ts";
import { exponentBytes } from "../local_steps/inner_loop.ts";
import { attemptOf, isComputed } from "./step_action.ts";
import type { StepContext } from "./step_context.ts";
import { inStepSpan } from "./step_spans.ts";
import { acknowledge, type TakenWork } from "./take_work.ts";
import type { ReadItem } from "./work_kinds.ts";
import { keepWorking } from "./work_source.ts";

/** Rejects with the signal's reason once the attempt is over. */
export function compute(
  step: StepContext,
  work: TakenWork,
  state: StepState,
  signal: AbortSignal,
): Promise<void> {
  switch (work.type) {
    case "assignment":
      return computeAssignment(step, work.assignment, state, signal);
    case "item":
      return computeItem(step, work.item, work.read, state, signal);
    case "unreadable":
      return Promise.reject(work.cause);
  }
}

async function computeItem(
  step: StepContext,
  item: WorkItem,
  read: ReadItem,
  state: StepState,
  signal: AbortSignal,
): Promise<void> {
  const { states, log } = step;
  const done = new AbortController();
  keepWorking(item, step, done.signal);
  try {
    await computeAndClaim(step, read, null, state, signal);
    acknowledge(item, log);
  } catch (thrown) {
    // Once the attempt is over the item is useless; until then a peer may take it at once.
    if (signal.aborted && !states.closed.aborted) acknowledge(item, log);
    else item.nak();
    throw thrown;
  } finally {
    done.abort();
  }
}

async function computeAssignment(
  step: StepContext,
  assignment: Assignment,
  state: StepState,
  signal: AbortSignal,
): Promise<void> {
  const isAudit = assignment.purpose === "audit";
  if (!isAudit && step.mine.counted.has(assignment.index)) return;
  const read = await fetchItem(step, assignment, state);
  signal.throwIfAborted();
  if (read !== null) await computeAndClaim(step, read, isAudit ? assignment.id : null, state, signal);
}

/** Null when the assignment is withdrawn. */
async function fetchItem(
  { states, reports }: StepContext,
  { id, index }: Assignment,
  state: StepState,
): Promise<ReadItem | null> {
  const { signal, end } = states.watch((newer) =>
    isComputed(attemptOf(state), newer) && newer.assignments.some((assignment) => assignment.id === id)
  );
  try {
    return await reports.item({ ...attemptOf(state), index }, signal);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    return null;
  } finally {
    end();
  }
}

/** @param audit the assignment that needs the digest alone; null: the gradient is for the sums */
async function computeAndClaim(
  step: StepContext,
  item: ReadItem,
  audit: number | null,
  state: StepState,
  signal: AbortSignal,
): Promise<void> {
  const { engine, work, clock, log, mine, reports, telemetry } = step;
  const { step: number, attempt, index, audit: isClaimAudited } = item.header;
  telemetry.setBusy({ step: number, attempt, index });
  try {
    const startedAt = clock.now();
    const result = await inStepSpan(step, state, "compute", { index }, () => work.compute(item, state, step));
    signal.throwIfAborted();
    if (result === null) return;
    const isAudited = isClaimAudited || audit !== null;
    const gradientDigest = isAudited ? await engine.gradientDigest() : null;
    signal.throwIfAborted();
    const gradientCheck = isAudited ? await checkOf(step, state) : null;
    signal.throwIfAborted();
    const computeMs = clock.now() - startedAt;
    const claimed = { ...result, computeMs, gradientDigest, gradientCheck, audit };
    const verdict = await reports.claim({ ...attemptOf(state), index }, claimed, signal);
    if (verdict === "counted" && audit === null && state.exponents !== null) {
      await engine.accumulate(exponentBytes(state.exponents));
      mine.counted.add(index);
    }
    if (verdict === "unknown") log("error", `the coordinator knows no micro-batch ${index}`);
  } finally {
    telemetry.setBusy(null);
  }
}

/** The checksum of the integers that the gradient adds to the sums; null while the attempt only measures the maxima. */
async function checkOf(
  { engine }: StepContext,
  { exponents, checkSeed }: StepState,
): Promise<Int32Array | null> {
  return exponents === null ? null : await engine.gradientCheck(exponentBytes(exponents), checkSeed);
}
