import { assertEquals } from "@std/assert";
import { toyLayout } from "../testing/toy_model.ts";
import { addRounded, subtractInPlace } from "./pseudo_gradient.ts";

const LAYOUT = toyLayout();

Deno.test("the pseudo-gradient is start − end, with the maximum of each tensor", async () => {
  const start = new Float32Array(128).fill(1);
  const end = new Float32Array(128).fill(1);
  end[3] = 3;
  end[64] = 0.5;
  assertEquals(await subtractInPlace(LAYOUT, start, end), Float32Array.of(2, 0.5));
  assertEquals([end[0], end[3], end[64]], [0, -2, 0.5]);
});

Deno.test("a NaN is the maximum of its tensor alone", async () => {
  const end = new Float32Array(128);
  end[5] = NaN;
  assertEquals(await subtractInPlace(LAYOUT, new Float32Array(128), end), Float32Array.of(NaN, 0));
});

Deno.test("sums grow by whole numbers of each tensor's unit", async () => {
  const gradient = new Float32Array(128);
  [gradient[0], gradient[1], gradient[64]] = [0.26, -0.5, 3];
  const sums = new Int32Array(128).fill(10);
  await addRounded(LAYOUT, gradient, Int8Array.of(-2, 1), sums);
  assertEquals([sums[0], sums[1], sums[2], sums[64]], [11, 8, 10, 12]);
});
