/** Tokens that go through the model in a step of a job. */
import type { PlannedJob } from "./fleet.ts";
import { firstNumberOf } from "./local_plan.ts";
import { microBatchNumbersOf } from "./work_items.ts";

/**
 * Of a step (1-based), with local steps of an outer step: one data step at a time, since all of them may not fit the memory.
 * @param leftOut positions within the step of what was excluded
 */
export function tokenCountOf(job: PlannedJob, step: number, leftOut: readonly number[]): number {
  const { spec: { training }, local, microBatchesOf } = job;
  const { first, last } = local?.dataStepsOf(step) ?? { first: step, last: step };
  const excluded = new Set(leftOut.flatMap((index) => microBatchNumbersOf(job, step, index)));
  let count = 0;
  for (let dataStep = first; dataStep <= last; dataStep++) {
    microBatchesOf(dataStep).forEach(({ tokens }, index) => {
      if (!excluded.has(firstNumberOf(dataStep, training) + index)) count += tokens.length;
    });
  }
  return count;
}
