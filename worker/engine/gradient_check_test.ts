import { assertEquals } from "@std/assert";
import { addChecksum, checkWeights } from "../../shared/protocol/linear_check.ts";
import { pcg32 } from "../../shared/prng.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { gradientCheckOf, tiesToEven, tiesUp } from "./gradient_check.ts";

const LAYOUT: GradientLayout = {
  tensors: [
    { name: "a", shape: [4, 15], offset: 0 },
    { name: "b", shape: [70, 64], offset: 64 },
    { name: "c", shape: [1, 1], offset: 4544 },
  ],
  ...{ elementCount: 4608, parameterCount: 4541 },
};

Deno.test("a gradient's checksum is that of the integers that it adds, tensor by tensor", () => {
  const random = pcg32(5);
  const gradient = Float32Array.from({ length: LAYOUT.elementCount }, () => random.normal());
  const exponents = Int8Array.of(-20, -3, 2);
  const exponentAt = (index: number) =>
    exponents[LAYOUT.tensors.findLastIndex(({ offset }) => offset <= index)]!;
  const integers = Int32Array.from(gradient, (value, index) => Math.round(value * 2 ** -exponentAt(index)));
  const expected = new Int32Array(2);
  addChecksum(checkWeights(9), 0, integers, expected);
  assertEquals(gradientCheckOf(LAYOUT, gradient, exponents, 9, tiesUp), expected);
});

Deno.test("ties go to the even neighbour as on the GPU, or up as in TypeScript", () => {
  assertEquals([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5].map((value) => tiesToEven(value) + 0), [-2, -2, 0, 0, 2, 2]);
  assertEquals([-2.5, -1.5, 0.5, 1.5, 2.5].map((value) => tiesUp(value) + 0), [-2, -1, 1, 2, 3]);
});
