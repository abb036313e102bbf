/** Tokens that pass through the model in steps of a job, from the lengths of rows alone. */
import type { PlannedJob } from "./planned_job.ts";
import { placeOfNumber } from "./schedule/local_plan.ts";

/**
 * Of a step (1-based).
 * @param excluded positions of micro-batches, or inner loops, that do not count
 */
export function tokenCountOf(job: PlannedJob, step: number, excluded: readonly number[]): number {
  const whole = tokensThrough(job, step) - tokensThrough(job, step - 1);
  return excluded.reduce((sum, index) => sum - tokensOfItem(job, step, index), whole);
}

/**
 * Of all steps up to and including this one (0: none).
 * @param excluded micro-batches, or inner loops, that do not count; those of later steps are ignored
 */
export function tokensUntil(
  job: PlannedJob,
  lastStep: number,
  excluded: readonly { readonly step: number; readonly microBatch: number }[],
): number {
  return excluded.filter(({ step }) => step <= lastStep).reduce(
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
