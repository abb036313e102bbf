import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { rangeWeights } from "./range_weights.ts";

const MB = 1e6;

Deno.test("links that are alike, or unknown, own equal ranges", () => {
  assertEquals(rangeWeights([]), []);
  assertEquals(rangeWeights([null]), [1]);
  assertEquals(rangeWeights([null, null, null]), [1, 1, 1]);
  assertEquals(rangeWeights([100 * MB, 110 * MB, 95 * MB, 130 * MB]), [1, 1, 1, 1]);
});

Deno.test("two members receive the same however the gradient is cut", () => {
  assertEquals(rangeWeights([1 * MB, 1000 * MB]), [1, 1]);
});

Deno.test("a link of half the speed owns less than half, one of a tenth owns nothing", () => {
  // T = 5 / 2.5 = 2: shares (2 − 1) / 2 = 1/2 twice, and (1 − 1) / 2 = 0.
  assertEquals(rangeWeights([100 * MB, 100 * MB, 50 * MB]), [16, 16, 0]);
  // T = 14 / 7.5: shares 0.867 / 6 for seven of them, none for the one of half the speed.
  assertEquals(rangeWeights([...new Array<number>(7).fill(100 * MB), 50 * MB]), [
    ...new Array<number>(7).fill(16),
    0,
  ]);
  // T = 6 / 2 = 3: shares (3 − 1) / 2 for the fast one, (1.5 − 1) / 2 for those of half its speed.
  assertEquals(rangeWeights([100 * MB, 50 * MB, 50 * MB, 10 * MB]).at(-1), 0);
});

Deno.test("a link of unknown speed counts as the median", () => {
  assertEquals(rangeWeights([100 * MB, null, 100 * MB]), [1, 1, 1]);
  assertEquals(rangeWeights([100 * MB, 100 * MB, 2 * MB, null]), [16, 16, 0, 16]);
  for (const nonsense of [NaN, Infinity, 0, -1]) assertEquals(rangeWeights([MB, nonsense, MB]), [1, 1, 1]);
});

/** How long a round takes in units of N / the fastest link, by the formula of the file. */
function roundTime(speeds: readonly number[], weights: readonly number[]): number {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Math.max(
    ...speeds.map((speed, index) => (1 + (speeds.length - 2) * weights[index]! / total) / speed),
  );
}

Deno.test("a round is never longer than with equal ranges, but for rounding, and the weights are small", () => {
  const octaves = fc.array(fc.integer({ min: -9, max: 0 }), { minLength: 1, maxLength: 40 });
  fc.assert(fc.property(octaves, fc.integer({ min: 1, max: 1e9 }), (exponents, fastest) => {
    const speeds = exponents.map((exponent) => 2 ** (exponent - Math.max(...exponents)));
    const weights = rangeWeights(speeds.map((speed) => speed * fastest));
    assertEquals(weights.length, speeds.length);
    assert(weights.every((weight) => Number.isInteger(weight) && weight >= 0 && weight <= 16));
    assert(weights.some((weight) => weight > 0));
    const clamped = speeds.map((speed) => Math.max(2 ** -6, speed));
    const equal = roundTime(clamped, speeds.map(() => 1));
    assertLessOrEqual(roundTime(clamped, weights), 1.1 * equal);
  }));
});
