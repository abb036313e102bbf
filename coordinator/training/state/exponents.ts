/** The exponents with which a step's first attempt begins. */
import { type Exponents, exponentsFrom } from "../../../shared/protocol/exponents.ts";
import type { Limits } from "../../../shared/protocol/limits.ts";
import { learningRateAt } from "../../planning/schedule/schedule.ts";
import type { TrainingPlan } from "./plan.ts";

/** Rounding to f32 can double a move that is one last place of its parameter; the other bit is for the rest. */
const MOVE_HEADROOM_BITS = 2;

/**
 * From the maxima of the step before; with local steps from the bound on AdamW's updates if it is finite. Null if nothing is
 * known: the attempt only finds the maxima.
 * @param maxima of the step before; null before the first one
 */
export function firstExponents(
  plan: TrainingPlan,
  step: number,
  maxima: Float32Array | null,
  tensorCount: number,
  limits: Limits,
): Exponents | null {
  const count = plan.microBatchCountOf(step);
  const largest = plan.local?.updateBoundOf(step) ?? Infinity;
  if (largest !== Infinity) {
    // If the step before exceeded the bound, this one may as well.
    const maximumOf = (_: unknown, tensor: number) => Math.max(largest, 2 * (maxima?.[tensor] ?? 0));
    const foreseen = Float32Array.from({ length: tensorCount }, maximumOf);
    return exponentsFrom(foreseen, count, MOVE_HEADROOM_BITS);
  }
  return maxima === null ? null : exponentsFrom(maxima, count, limits.exponentHeadroomBits);
}

/** With local steps: that of the last inner step. */
export function learningRateOf(plan: TrainingPlan, step: number): number {
  const { local, totalSteps, schedule, halvedAfter = null } = plan;
  const rate = local?.learningRateOf(step) ?? learningRateAt(step, totalSteps, schedule);
  return halvedAfter !== null && step > halvedAfter ? rate / 2 : rate;
}
