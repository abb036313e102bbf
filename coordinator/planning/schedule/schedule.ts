/** The learning rate of each step, as transformers' schedules compute it (transformers/optimization.py). */
import { LoraFleetError } from "../../../shared/errors.ts";
import type { TrainingSpec } from "../../../shared/job/job_spec_schema.ts";
import { SCHEDULE_KINDS } from "./schedule_kinds.ts";

export type ScheduleSpec = Pick<
  TrainingSpec,
  "learning_rate" | "lr_scheduler_type" | "lr_scheduler_kwargs" | "warmup_ratio" | "warmup_steps"
>;

/**
 * Steps in which the rate rises: `warmup_steps` if set (below 1: a share of all steps), else
 * ceil(`warmup_ratio` · T), as in `TrainingArguments.get_warmup_steps`.
 */
export function warmupSteps(totalSteps: number, spec: ScheduleSpec): number {
  if (spec.warmup_steps >= 1) return Math.floor(spec.warmup_steps);
  return Math.ceil(totalSteps * (spec.warmup_steps > 0 ? spec.warmup_steps : spec.warmup_ratio));
}

/**
 * The rate of step `step` (1 … totalSteps). The scheduler moves after the optimizer, so with a warm-up the first step
 * has rate 0 and the last one is just above it.
 */
export function learningRateAt(step: number, totalSteps: number, spec: ScheduleSpec): number {
  if (!Number.isInteger(step) || step < 1 || step > totalSteps) {
    throw new LoraFleetError(
      "invalid_request",
      `learning rate of step ${step}: steps go from 1 to ${totalSteps}`,
    );
  }
  const { learning_rate: rate, lr_scheduler_type: type, lr_scheduler_kwargs: args = {} } = spec;
  const place = { done: step - 1, warmup: warmupSteps(totalSteps, spec), total: totalSteps, rate };
  return rate * SCHEDULE_KINDS[type].factor(place, args);
}
