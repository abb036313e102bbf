/** Tokens that go through the model in steps of a job, counted from the lengths of rows alone. */
import type { PlannedJob } from "./planned_job.ts";
import { placeOfNumber } from "./schedule/local_plan.ts";

/**
 * Of a step (1-based).
 * @param leftOut positions of its micro-batches, or inner loops, that do not count
 */
export function tokenCountOf(job: PlannedJob, step: number, leftOut: readonly number[]): number {
  const whole = tokensThrough(job, step) - tokensThrough(job, step - 1);
  return leftOut.reduce((sum, index) => sum - tokensOfItem(job, step, index), whole);
}

/**
 * Of all steps up to and with this one (0: none), however many they are.
 * @param leftOut micro-batches, or inner loops, that do not count; those of later steps are passed over
 */
export function tokensUntil(
  job: PlannedJob,
  lastStep: number,
  leftOut: readonly { readonly step: number; readonly microBatch: number }[],
): number {
  return leftOut.filter(({ step }) => step <= lastStep).reduce(
    (sum, { step, microBatch }) => sum - tokensOfItem(job, step, microBatch),
    tokensThrough(job, lastStep),
  );
}

function tokensThrough({ local, tokensThrough }: PlannedJob, step: number): number {
  if (step === 0 || local === null || local === undefined) return tokensThrough(step);
  return tokensThrough(local.dataStepsOf(step).last);
}

function tokensOfItem(
  { spec, local, microBatchesOf, tokensThrough }: PlannedJob,
  step: number,
  index: number,
): number {
  if (local === null || local === undefined) return microBatchesOf(step)[index]!.tokens.length;
  return local.innerLoopsOf(step)[index]!.innerSteps.reduce((sum, { number }) => {
    const { dataStep } = placeOfNumber(number, spec.training);
    return sum + tokensThrough(dataStep) - tokensThrough(dataStep - 1);
  }, 0);
}
