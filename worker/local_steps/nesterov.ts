/**
 * The outer optimizer of local steps (decision 0011): SGD with Nesterov momentum on the mean pseudo-gradient, like torch's
 * `SGD(nesterov=True, dampening=0)`. On the CPU in IEEE f32, like adamw.ts: all workers get the same bits.
 */
import { turnOfEventLoop } from "../async/turn.ts";
import { type GradientLayout, rangeOf } from "../../shared/model/gradient_layout.ts";

export interface OuterState {
  readonly adapter: Float32Array;
  readonly momentum: Float32Array;
}

export interface OuterRequest {
  /** The replicas' pseudo-gradients, all-reduced: integers in units of 2^exponent of their tensor. */
  readonly sums: Int32Array;
  readonly exponents: Int8Array;
  /** Divides the sums, once. */
  readonly replicaCount: number;
  readonly learningRate: number;
  /** μ, in [0, 1). */
  readonly momentum: number;
}

/** Zeros in memory that other threads read without a copy. */
export const sharedFloats = (count: number): Float32Array<SharedArrayBuffer> =>
  new Float32Array(new SharedArrayBuffer(4 * count));

/** The next state beside `from`, in shared memory, and the sum of the squares of the mean pseudo-gradient. */
export async function nesterovUpdate(
  layout: GradientLayout,
  request: OuterRequest,
  from: OuterState,
): Promise<OuterState & { readonly squares: number }> {
  const zeros = () => sharedFloats(layout.elementCount);
  const to = { adapter: zeros(), momentum: zeros() };
  let squares = 0;
  for (let index = 0; index < layout.tensors.length; index++) {
    squares += nesterovUpdateTensor(layout, index, request, from, to);
    await turnOfEventLoop();
  }
  return { ...to, squares };
}

/**
 * Updates one tensor from `from` to `to` (which may be the same arrays): b ← μb + g;  p ← p − lr·(g + μb).
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
