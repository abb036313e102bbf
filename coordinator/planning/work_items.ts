/** A step's work items: its micro-batches, or with local steps the inner loops of its replicas. */
import {
  encodeInnerLoopItem,
  encodeWorkItem,
  type WorkItemHeader,
} from "../../shared/protocol/messages_work_item.ts";
import type { PlannedJob } from "./planned_job.ts";
import { firstNumberOf } from "./schedule/local_plan.ts";

export interface StepItem {
  /** Job-wide number of its micro-batch, or of the first one of its inner loop. */
  readonly number: number;
  /** Its bytes on the queue. */
  readonly encode: (header: WorkItemHeader) => Uint8Array;
}

/** In the order of their positions within the step (1-based). */
export function itemsOf({ spec, local, microBatchesOf }: PlannedJob, step: number): readonly StepItem[] {
  if (local !== null && local !== undefined) {
    return local.innerLoopsOf(step).map((innerLoop) => ({
      number: innerLoop.innerSteps[0]!.number,
      encode: (header) => encodeInnerLoopItem(header, innerLoop),
    }));
  }
  const first = firstNumberOf(step, spec.training);
  return microBatchesOf(step).map((batch, index) => ({
    number: first + index,
    encode: (header) => encodeWorkItem(header, batch),
  }));
}

/** How many items a step has: decided without a look at its rows, which lie on a disk that may fail. */
export function itemCountOf(job: PlannedJob, step: number): number {
  const { local } = job;
  if (local !== null && local !== undefined) return local.innerLoopsOf(step).length;
  return job.microBatchCountOf?.(step) ?? job.microBatchesOf(step).length;
}

/** Caches the items of the step that was last asked for. */
export function cachedByStep(make: (step: number) => readonly StepItem[]): typeof make {
  let kept: { readonly step: number; readonly items: readonly StepItem[] } | null = null;
  return (step) => {
    if (kept?.step !== step) kept = { step, items: make(step) };
    return kept.items;
  };
}
