/** The exponents of a step's attempts (decisions 0001 and 0038). They follow from the commits and the data alone. */
import { decodeFloats } from "../../../shared/protocol/messages_codec.ts";
import type { CommitEntry } from "../../../shared/protocol/messages_coordinator.ts";
import { type Exponents, exponentsFrom, fadingMaxima as faded } from "../../../shared/protocol/exponents.ts";
import type { Limits } from "../../../shared/protocol/limits.ts";
import { learningRateAt } from "../../planning/schedule/schedule.ts";
import type { StepContext, TrainingPlan } from "./plan.ts";
import type { Training } from "./training.ts";

/** Rounding to f32 can double a move that is one last place of its parameter; the other bit is for the rest. */
const MOVE_HEADROOM_BITS = 2;

/** Probes beyond this step would cost more than the rare tensor whose gradient has always been 0 until then. */
const LAST_PROBED_STEP = 3;

/**
 * From the fading maxima of the steps before; with local steps from the bound on AdamW's updates if it is finite. Null: the attempt
 * is a probe, whose first micro-batch shows the maxima (claims.ts).
 * @param maxima of the newest commit; null before the first one
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
  if (maxima === null || showsMore(plan, step, maxima)) return null;
  return exponentsFrom(maxima, count, limits.exponentHeadroomBits);
}

/**
 * Whether tensors without a gradient so far may have one now: lora_A's is 0 until lora_B has moved, which the first step with a
 * learning rate above 0 does. A warm-up may begin with 0.
 */
function showsMore(plan: TrainingPlan, step: number, maxima: Float32Array): boolean {
  return step <= LAST_PROBED_STEP && maxima.includes(0) && learningRateOf(plan, step - 1) > 0;
}

/** From maxima of this very step, of its first micro-batch or of all, and of the steps before. */
export function shownExponents(
  { plan, limits }: Pick<StepContext, "plan" | "limits">,
  { step, committed }: Pick<Training, "step" | "committed">,
  maxAbs: Float32Array,
): Exponents {
  const maxima = fadingMaxima(committed, maxAbs, limits);
  return exponentsFrom(maxima, plan.microBatchCountOf(step), limits.exponentHeadroomBits);
}

/** What the commit of a step with these maxima keeps for the steps after it. */
export function fadingMaxima(
  committed: CommitEntry | null,
  maxAbs: Float32Array,
  { exponentKeptShare }: Limits,
): Float32Array {
  return faded(decodeFloats(committed?.maxAbs ?? ""), maxAbs, exponentKeptShare);
}

/** With local steps: that of the last inner step. */
export function learningRateOf(plan: TrainingPlan, step: number): number {
  const { local, totalSteps, schedule, halvedAfter = null } = plan;
  const rate = local?.learningRateOf(step) ?? learningRateAt(step, totalSteps, schedule);
  return halvedAfter !== null && step > halvedAfter ? rate / 2 : rate;
}
