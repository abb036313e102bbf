import { assert } from "@std/assert";

/**
 * Checks a reference's backward against central differences of its forward, in f64.
 * @param loss a scalar function of `x`; must read `x` anew at each call
 * @param gradient of the backward reference
 */
export function checkGradient(
  label: string,
  loss: (x: Float64Array) => number,
  x: Float64Array,
  gradient: ArrayLike<number>,
): void {
  const step = 1e-5;
  for (let i = 0; i < x.length; i++) {
    const value = x[i]!;
    x[i] = value + step;
    const above = loss(x);
    x[i] = value - step;
    const below = loss(x);
    x[i] = value;
    const difference = (above - below) / (2 * step);
    const allowed = 1e-6 * Math.max(1, Math.abs(difference));
    assert(
      Math.abs(difference - gradient[i]!) <= allowed,
      `${label}: the gradient of element ${i} is ${gradient[i]}, central differences give ${difference}`,
    );
  }
}
