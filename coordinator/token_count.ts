/** Tokens that go through the model in a step of a job. */
import type { PlannedJob } from "./fleet.ts";

/**
 * Of a step (1-based), with local steps of an outer step: one data step at a time, since all of them may not
 * fit the memory.
 */
export function tokenCountOf({ local, microBatchesOf }: PlannedJob, step: number): number {
  const { first, last } = local?.dataStepsOf(step) ?? { first: step, last: step };
  let count = 0;
  for (let dataStep = first; dataStep <= last; dataStep++) {
    for (const { tokens } of microBatchesOf(dataStep)) count += tokens.length;
  }
  return count;
}
