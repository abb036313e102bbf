/**
 * The error that f32 arithmetic may leave in a sum of `terms` products: each rounding is at most 2^−24 of the running
 * sum, roundings are as good as independent, so the error grows with √terms; 8 leaves room for the unlucky element.
 * @param magnitude typical size of the summed products' total, in absolute value
 */
export function f32Tolerance(terms: number, magnitude: number): number {
  return 8 * 2 ** -24 * (1 + Math.sqrt(terms)) * magnitude;
}

/** Root mean square. */
export function rms(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! ** 2;
  return Math.sqrt(sum / Math.max(1, values.length));
}
