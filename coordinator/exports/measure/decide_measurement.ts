/** Which worker measures which merge. Pure: (what is unmeasured, who measures, the fleet, now) → who measures, and why. */
import type { MemberRef } from "../../../shared/protocol/messages_coordinator.ts";
import type { ExportRecord } from "../record/export_record.ts";

export interface Assigned extends MemberRef {
  readonly exportId: string;
  readonly attempt: number;
  readonly since: number;
}

export interface MeasurementView {
  /** Oldest first. */
  readonly unmeasured: readonly Pick<ExportRecord, "id" | "measurement">[];
  readonly current: Assigned | null;
  readonly measurers: { readonly isTraining: boolean; readonly workers: readonly MemberRef[] };
  readonly now: number;
}

export interface MeasurementDecision {
  /** Null: nobody can measure now. */
  readonly assigned: Omit<Assigned, "attempt"> | null;
  /** Why the current one does not go on; null if it does, or there was none. */
  readonly ended: { readonly reason: string; readonly isFailure: boolean } | null;
  /** Why nothing or nothing else is measured now. */
  readonly reason: string;
}

/** For base model, adapter and passes. A worker whose job comes first, or that is gone, loses it earlier. */
export const MEASURE_LIMIT_MS = 3_600_000;
/** Workers that may fail before a merge stays unmeasured. */
export const MAX_FAILURES = 3;

export const TRAINING_REASON = "the workers train a job";
export const NOBODY_REASON = "no worker has joined";

export function decideMeasurement(view: MeasurementView): MeasurementDecision {
  const { current, measurers: { isTraining, workers }, now } = view;
  const ended = current === null ? null : endOf(view, current);
  if (current !== null && ended === null) {
    return { assigned: current, ended, reason: `${current.worker} measures ${current.exportId}` };
  }
  if (isTraining) return { assigned: null, ended, reason: TRAINING_REASON };
  if (workers.length === 0) return { assigned: null, ended, reason: NOBODY_REASON };
  for (const { id, measurement } of view.unmeasured) {
    const isLate = ended?.isFailure === true && current?.exportId === id;
    const tried = [...measurement?.failures ?? [], ...isLate ? [current] : []];
    const free = workers.find(({ worker }) => tried.every((failure) => failure.worker !== worker));
    if (free === undefined) continue;
    const assigned = { exportId: id, worker: free.worker, incarnation: free.incarnation, since: now };
    return { assigned, ended, reason: `${free.worker} is idle` };
  }
  return { assigned: null, ended, reason: "it waits for a worker that has not failed to measure it" };
}

function endOf(
  { unmeasured, measurers: { isTraining, workers }, now }: MeasurementView,
  { exportId, worker, incarnation, since }: Assigned,
): MeasurementDecision["ended"] {
  if (unmeasured.every(({ id }) => id !== exportId)) return { reason: "it is over", isFailure: false };
  if (isTraining) return { reason: TRAINING_REASON, isFailure: false };
  if (workers.every((other) => other.incarnation !== incarnation)) {
    return { reason: `${worker} is gone`, isFailure: false };
  }
  if (now - since <= MEASURE_LIMIT_MS) return null;
  return {
    reason: `${worker} has not measured it within ${MEASURE_LIMIT_MS / 60_000} minutes`,
    isFailure: true,
  };
}
