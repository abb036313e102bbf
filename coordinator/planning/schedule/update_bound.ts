/**
 * Bound on AdamW's move of a parameter over some steps with fresh moments, for any gradients. An outer step's exponents follow
 * from it, so that no attempt is spent on finding maxima.
 *
 * An update is lr·m̂/√v̂ with m̂ = Σ wᵢgᵢ and v̂ = Σ uᵢgᵢ², whose weights are those of two bias-corrected exponential means. By
 * Cauchy–Schwarz (Σ wᵢgᵢ)² ≤ Σ wᵢ²/uᵢ · Σ uᵢgᵢ², hence |m̂|/√v̂ ≤ √(Σ wᵢ²/uᵢ): 1 in the first step, 1.2 in the 25th for
 * β = 0.9, 0.999. Epsilon only makes it smaller.
 */
import type { TrainingSpec } from "../../../shared/job/job_spec_schema.ts";

export type MoveSpec = Pick<TrainingSpec, "adam_beta1" | "adam_beta2" | "weight_decay">;

/** LoRA's parameters lie far within (−1, 1). For the decay alone; if a larger one exceeds the bound, its attempt is repeated. */
const MAX_PARAMETER = 1;

/**
 * The sum of the largest moves of these steps, in exact arithmetic; Infinity if β₂ admits moves of any size.
 * @param rates the learning rate of each step
 */
export function updateBound(rates: readonly number[], spec: MoveSpec): number {
  return rates.reduce(
    (sum, rate, index) =>
      // 0 · Infinity would be NaN.
      rate === 0 ? sum : sum + rate * (largestRatio(index + 1, spec) + spec.weight_decay * MAX_PARAMETER),
    0,
  );
}

/** √(Σ wᵢ²/uᵢ) of the t-th step. */
export function largestRatio(t: number, { adam_beta1: beta1, adam_beta2: beta2 }: MoveSpec): number {
  // wᵢ²/uᵢ of a gradient k steps ago is proportional to β₁²ᵏ/β₂ᵏ.
  const perStep = beta1 === 0 ? 0 : beta1 * beta1 / beta2;
  let series = 1;
  for (let k = 1, term = perStep; k < t; k++, term *= perStep) series += term;
  const first = (1 - beta1) / (1 - beta1 ** t);
  const second = (1 - beta2) / (1 - beta2 ** t);
  return first * Math.sqrt(series / second);
}
