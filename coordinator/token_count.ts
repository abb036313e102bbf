/** Tokens that go through the model in a step of a job. */
import type { PlannedJob } from "./fleet.ts";
import { placeOfNumber } from "./local_plan.ts";

/**
 * Of a step (1-based); with local steps one data step at a time, since all of them may not fit the memory.
 * @param isIn whether the step's micro-batch, or phase, at this position counts
 */
export function tokenCountOf(
  { spec, local, microBatchesOf }: PlannedJob,
  step: number,
  isIn: (index: number) => boolean,
): number {
  const tokensOf = (dataStep: number, isCounted: (index: number) => boolean) =>
    microBatchesOf(dataStep).reduce((sum, { tokens }, at) => sum + (isCounted(at) ? tokens.length : 0), 0);
  if (local === null || local === undefined) return tokensOf(step, isIn);
  return local.phasesOf(step).filter((_, index) => isIn(index)).flatMap(({ innerSteps }) => innerSteps)
    .reduce(
      (sum, { number }) => sum + tokensOf(placeOfNumber(number, spec.training).dataStep, () => true),
      0,
    );
}
