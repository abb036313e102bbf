import { assertAlmostEquals, assertEquals } from "@std/assert";
import { microBatchOf } from "./test_job.ts";
import { maxAbsOf, toyGradient, toyLayout } from "./toy_model.ts";

Deno.test("the gradient is that of the loss, by central differences", () => {
  const adapter = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i));
  const { gradient } = toyGradient(adapter, microBatchOf(3));
  const lossAt = (i: number, by: number) => {
    const moved = adapter.slice();
    moved[i]! += by;
    return toyGradient(moved, microBatchOf(3)).lossSum;
  };
  for (const i of [0, 17, 64, 100]) {
    assertAlmostEquals(gradient[i]!, (lossAt(i, 0.125) - lossAt(i, -0.125)) / 0.25, 1e-4);
  }
});

Deno.test("ignored labels have no gradient, and a NaN is the maximum of its tensor", () => {
  const batch = { ...microBatchOf(1), labels: new Int32Array(4).fill(-100) };
  const { gradient, lossSum } = toyGradient(new Float32Array(128).fill(1), batch);
  assertEquals([lossSum, gradient.every((value) => value === 0)], [0, true]);
  gradient[70] = NaN;
  gradient[3] = -2;
  assertEquals(maxAbsOf(toyLayout(), gradient), Float32Array.of(2, NaN));
});
