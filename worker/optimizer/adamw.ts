/**
 * AdamW as in bitsandbytes' 32-bit optimizer (decay after the step), on the CPU and in f32 by IEEE rules,
 * so that every worker's adapter has the same bits on any GPU (decision 0001).
 *
 * Intermediate results are f64, rounded to f32 at bitsandbytes' stores. JavaScript's arithmetic is IEEE f64 on every
 * machine, so the rounding is the same everywhere. A worker computes the loops in WebAssembly and in several threads
 * (optimizer_state.ts); those here are the reference, whose bits they have.
 */
import type { AdamWState } from "./adamw_state.ts";
import type { Coefficients } from "./wasm/adamw_kernel.ts";
import { type GradientLayout, rangeOf } from "../../shared/model/gradient_layout.ts";
import type { DigestKind } from "../../shared/protocol/state/state_digest.ts";

export interface UpdateRequest {
  /** The all-reduced gradient sums: integers, to be multiplied by 2^exponent of their tensor. */
  readonly sums: Int32Array;
  readonly exponents: Int8Array;
  /** Labels in all micro-batches of the step: the divisor of the sums. */
  readonly labelCount: number;
  /** Replicas that contribute pseudo-gradients to an outer step, which divides by this instead. */
  readonly replicaCount?: number;
  /** This step's learning rate, computed by the coordinator so that all workers use the same bits. */
  readonly learningRate: number;
  /** 1 for the first update: the exponent of Adam's bias correction. */
  readonly updateNumber: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Clip the global L2 norm to this; 0 does not clip. */
  readonly maxGradientNorm: number;
  /** Of the outcome; "none" if no other worker computes this update: its digest is then "". Default: "sha256". */
  readonly digestKind?: DigestKind | "none";
}

/** Added to the norm before the division, as in torch's `clip_grad_norm_`. */
const CLIP_EPSILON = 1e-6;

/** For each tensor the factor from its integer gradient sums to the mean gradient: 2^exponent / labelCount. */
function factorsOf({ exponents, labelCount }: Pick<UpdateRequest, "exponents" | "labelCount">): Float64Array {
  return Float64Array.from(exponents, (exponent) => 2 ** exponent / labelCount);
}

/** The global L2 norm of the mean gradient, before clipping. */
export function gradientNormOf(layout: GradientLayout, request: UpdateRequest): number {
  const squares = layout.tensors.map((_, index) => {
    const [start, end] = rangeOf(layout, index);
    let sum = 0;
    for (let i = start; i < end; i++) sum += request.sums[i]! * request.sums[i]!;
    return sum;
  });
  return normOf(squares, request);
}

/** @param squares for each tensor the sum of the squares of its integer gradient sums */
export function normOf(
  squares: ArrayLike<number>,
  request: Pick<UpdateRequest, "exponents" | "labelCount">,
): number {
  const factors = factorsOf(request);
  let total = 0;
  for (let index = 0; index < squares.length; index++) total += squares[index]! * factors[index]! ** 2;
  return Math.sqrt(total);
}

type CoefficientsRequest = Omit<UpdateRequest, "sums" | "replicaCount" | "digestKind">;

/** For each tensor the factor from its sums to the clipped mean gradient, and the rest of the formula's constants. */
export function constantsOf(
  request: CoefficientsRequest,
  norm: number,
): { readonly factors: Float64Array; readonly coefficients: Coefficients } {
  const { beta1, beta2, updateNumber, learningRate, maxGradientNorm } = request;
  const clip = maxGradientNorm > 0 ? Math.min(1, maxGradientNorm / (norm + CLIP_EPSILON)) : 1;
  const correction2 = Math.sqrt(1 - beta2 ** updateNumber);
  return {
    factors: factorsOf(request).map((factor) => factor * clip),
    coefficients: {
      ...{ beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2 },
      stepSize: learningRate * correction2 / (1 - beta1 ** updateNumber),
      epsilon: request.epsilon * correction2,
      keep: 1 - learningRate * request.weightDecay,
    },
  };
}

/**
 * One update: reads `from`, writes `to` (which may be the same arrays).
 *
 *     m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
 *     p ← p − lr·√(1−β₂ᵗ)/(1−β₁ᵗ) · m / (√v + ε·√(1−β₂ᵗ));  p ← p·(1 − lr·decay)
 *
 * @returns the gradient's norm before clipping
 */
export function adamwUpdate(
  layout: GradientLayout,
  request: UpdateRequest,
  from: AdamWState,
  to: AdamWState,
): number {
  const { sums } = request;
  const norm = gradientNormOf(layout, request);
  const { factors, coefficients } = constantsOf(request, norm);
  const { beta1, rest1, beta2, rest2, stepSize, epsilon, keep } = coefficients;
  for (let index = 0; index < layout.tensors.length; index++) {
    const [start, end] = rangeOf(layout, index);
    const factor = factors[index]!;
    for (let i = start; i < end; i++) {
      const g = Math.fround(sums[i]! * factor);
      const m = Math.fround(beta1 * from.firstMoment[i]! + rest1 * g);
      const v = Math.fround(beta2 * from.secondMoment[i]! + rest2 * g * g);
      to.firstMoment[i] = m;
      to.secondMoment[i] = v;
      to.adapter[i] = Math.fround(from.adapter[i]! - stepSize * m / (Math.sqrt(v) + epsilon)) * keep;
    }
  }
  return norm;
}
