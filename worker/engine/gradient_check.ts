/** The checksum of the integers that a gradient adds to the sums, computed from the gradient, so that an auditor can do it too. */
import { addChecksum, CHECK_BLOCK, CHECK_WORDS, checkWeights } from "../../shared/protocol/linear_check.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";

/** Adding and subtracting it leaves the nearest whole number, ties to even, as WGSL's round() does. */
const NO_FRACTION = 1.5 * 2 ** 52;

/** The engines' two ways of rounding to an integer. Both are exact on f64. */
export const tiesToEven = (value: number): number => value + NO_FRACTION - NO_FRACTION;
export const tiesUp = (value: number): number => Math.round(value);

/** Elements per piece of the checksum: whole blocks that stay in the cache. */
const PIECE_ELEMENTS = 64 * CHECK_BLOCK;

/**
 * Two words (shared/protocol/linear_check.ts).
 * @param gradient [layout.elementCount]
 * @param exponents one for each tensor: the integers are round(gradient · 2^−exponent)
 * @param round the rounding of the engine that adds the gradient
 */
export function gradientCheckOf(
  { tensors, elementCount }: GradientLayout,
  gradient: Float32Array,
  exponents: Int8Array,
  seed: number,
  round: (value: number) => number,
): Int32Array {
  const weights = checkWeights(seed);
  const words = new Int32Array(CHECK_WORDS);
  const integers = new Int32Array(PIECE_ELEMENTS);
  tensors.forEach(({ offset }, index) => {
    const end = tensors[index + 1]?.offset ?? elementCount;
    const scale = 2 ** -exponents[index]!;
    for (let start = offset; start < end; start += PIECE_ELEMENTS) {
      const count = Math.min(PIECE_ELEMENTS, end - start);
      for (let i = 0; i < count; i++) integers[i] = round(gradient[start + i]! * scale);
      addChecksum(weights, start, integers.subarray(0, count), words);
    }
  });
  return words;
}
