/**
 * How far AdamW can move a parameter in some steps with fresh moments, whatever the gradients are. An outer
 * step's exponents come from it, so that no attempt is spent on finding maxima.
 *
 * An update is lr·m̂/√v̂ with m̂ = Σ wᵢgᵢ and v̂ = Σ uᵢgᵢ², the weights being those of two exponential means
 * with their bias corrected. By Cauchy and Schwarz (Σ wᵢgᵢ)² ≤ Σ wᵢ²/uᵢ · Σ uᵢgᵢ², so that |m̂|/√v̂ ≤ √(Σ
 * wᵢ²/uᵢ): 1 in the first step, 1.2 in the 25th for β = 0.9, 0.999. Epsilon only makes it less.
 */
import type { TrainingSpec } from "../../../shared/job/job_spec_schema.ts";

export type MoveSpec = Pick<TrainingSpec, "adam_beta1" | "adam_beta2" | "weight_decay">;

/**
 * Parameters of LoRA lie far within (−1, 1). It is a guess, for the decay alone: one that is larger moves
 * more, and its attempt is done again if that does not fit.
 */
const LARGEST_PARAMETER = 1;

/**
 * The sum of the largest moves of these steps, in exact arithmetic; Infinity where β₂ lets a move be of any
 * size.
 * @param rates the learning rate of each step
 */
export function updateBound(rates: readonly number[], spec: MoveSpec): number {
  return rates.reduce(
    (sum, rate, index) =>
      // Without the question 0 · Infinity would be NaN.
      rate === 0 ? sum : sum + rate * (largestRatio(index + 1, spec) + spec.weight_decay * LARGEST_PARAMETER),
    0,
  );
}

/** √(Σ wᵢ²/uᵢ) of the t-th step. */
export function largestRatio(t: number, { adam_beta1: beta1, adam_beta2: beta2 }: MoveSpec): number {
  // wᵢ²/uᵢ of the gradient that is k steps old has β₁²ᵏ/β₂ᵏ.
  const perStep = beta1 === 0 ? 0 : beta1 * beta1 / beta2;
  let series = 1;
  for (let k = 1, term = perStep; k < t; k++, term *= perStep) series += term;
  const first = (1 - beta1) / (1 - beta1 ** t);
  const second = (1 - beta2) / (1 - beta2 ** t);
  return first * Math.sqrt(series / second);
}
