/** An inner loop's change as the gradient of an outer step: start − end, in f32 (decision 0011). */
import { turnOfEventLoop } from "../async/turn.ts";
import { type GradientLayout, rangeOf } from "../../shared/model/gradient_layout.ts";

/**
 * Turns `end` into start − end, in place.
 * @returns the largest absolute value of each tensor; NaN if the tensor contains one
 */
export async function subtractInPlace(
  layout: GradientLayout,
  start: Float32Array,
  end: Float32Array,
): Promise<Float32Array> {
  const maxAbs = new Float32Array(layout.tensors.length);
  for (let index = 0; index < layout.tensors.length; index++) {
    maxAbs[index] = subtractRange(start, end, ...rangeOf(layout, index));
    await turnOfEventLoop();
  }
  return maxAbs;
}

function subtractRange(start: Float32Array, end: Float32Array, from: number, to: number): number {
  let max = 0;
  for (let i = from; i < to; i++) {
    const change = Math.fround(start[i]! - end[i]!);
    end[i] = change;
    max = Number.isNaN(change) ? NaN : Math.max(max, Math.abs(change));
  }
  return max;
}

/** Adds round(gradient · 2^−exponent), tensor by tensor, to the integer sums. */
export async function addRounded(
  layout: GradientLayout,
  gradient: Float32Array,
  exponents: Int8Array,
  sums: Int32Array,
): Promise<void> {
  for (let index = 0; index < layout.tensors.length; index++) {
    const scale = 2 ** -exponents[index]!;
    const [start, end] = rangeOf(layout, index);
    for (let i = start; i < end; i++) sums[i]! += Math.round(gradient[i]! * scale);
    await turnOfEventLoop();
  }
}
