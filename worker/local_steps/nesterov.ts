/**
 * The outer optimizer of local steps (decision 0011): SGD with Nesterov's momentum on the mean
 * pseudo-gradient, as torch's `SGD(nesterov=True, dampening=0)` has it. On the CPU and in f32 by IEEE rules,
 * for the reasons of adamw.ts: all workers get the same bits.
 */
import { type GradientLayout, rangeOf } from "../../shared/model/gradient_layout.ts";

export interface OuterState {
  readonly adapter: Float32Array;
  readonly momentum: Float32Array;
}

export interface OuterRequest {
  /**
   * The all-reduced sums of all replicas' pseudo-gradients: integers, to be multiplied by 2^exponent of their
   * tensor.
   */
  readonly sums: Int32Array;
  readonly exponents: Int8Array;
  /** Divided by once. */
  readonly replicaCount: number;
  readonly learningRate: number;
  /** μ, in [0, 1). */
  readonly momentum: number;
}

/**
 * One tensor of an update: reads `from`, writes `to` (which may be the same arrays).
 *
 *     b ← μb + g;  p ← p − lr·(g + μb)
 *
 * @returns the sum of the squares of g
 */
export function nesterovUpdateTensor(
  layout: GradientLayout,
  index: number,
  request: OuterRequest,
  from: OuterState,
  to: OuterState,
): number {
  const { sums, exponents, replicaCount, learningRate, momentum } = request;
  const [start, end] = rangeOf(layout, index);
  const factor = 2 ** exponents[index]! / replicaCount;
  let squares = 0;
  for (let i = start; i < end; i++) {
    const g = Math.fround(sums[i]! * factor);
    const b = Math.fround(momentum * from.momentum[i]! + g);
    to.momentum[i] = b;
    to.adapter[i] = from.adapter[i]! - learningRate * (g + momentum * b);
    squares += g * g;
  }
  return squares;
}
