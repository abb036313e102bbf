import { assert, assertThrows } from "@std/assert";
import { checkGradient } from "../testing/check_gradient.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { f32Tolerance } from "../testing/tolerance.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { testGpu } from "../../device/testing/test_gpu.ts";
import { encodeRope } from "./rope.ts";
import { ropeCpu } from "./rope_cpu.ts";

const MAX_POSITIONS = 40;

/** [maxPositions, headDim / 2] with the angles position · 10000^(−2i/headDim). */
function tables(headDim: number) {
  const half = headDim / 2;
  const angles = Array.from({ length: MAX_POSITIONS * half }, (_, index) => {
    return Math.floor(index / half) * 10000 ** (-2 * (index % half) / headDim);
  });
  return { cos: Float32Array.from(angles, Math.cos), sin: Float32Array.from(angles, Math.sin) };
}

const SHAPES: [rows: number, headCount: number, headDim: number, dimensions?: number][] = [
  [1, 1, 2],
  [7, 3, 16],
  [5, 4, 32],
  [300, 2, 6],
  [3, 1, 128],
  [9, 3, 16, 12],
  [4, 2, 128, 96],
];

for (const [rows, headCount, headDim, dimensions = headDim] of SHAPES) {
  for (const inverse of [false, true]) {
    const part = dimensions === headDim ? "" : `, ${dimensions} rotated`;
    const label = `rope ${rows}×${headCount}×${headDim}${part}${inverse ? " inverse" : ""}`;
    Deno.test(`${label} agrees with its reference`, async () => {
      const prng = testPrng(label);
      const x = randomNormal(prng, rows * headCount * headDim);
      const positions = Uint32Array.from({ length: rows }, () => prng.below(MAX_POSITIONS));
      const { cos, sin } = tables(dimensions);
      await checkKernel({
        label,
        inputs: { cos, sin, positions },
        initial: { x },
        expected: { x: ropeCpu({ x, cos, sin, positions, headCount, headDim, dimensions, inverse }) },
        encode: (pass, t) => encodeRope(pass, { ...t, rows, headCount, headDim, dimensions, inverse }),
        tolerance: f32Tolerance(2, 4),
      });
    });
  }
}

Deno.test("position 0 leaves a row as it is, and the inverse undoes the rotation", () => {
  const call = { ...tables(8), headCount: 1, headDim: 8 };
  const x = Float64Array.from(randomNormal(testPrng("rope undone"), 16));
  const turned = ropeCpu({ ...call, x, positions: [0, 11], inverse: false });
  const back = ropeCpu({ ...call, x: turned, positions: [0, 11], inverse: true });
  for (let i = 0; i < 8; i++) assert(turned[i] === x[i], `value ${i} at position 0 changed`);
  for (let i = 0; i < 16; i++) assert(Math.abs(back[i]! - x[i]!) < 1e-6, `value ${i} did not come back`);
  assert(Math.abs(turned[8]! - x[8]!) > 1e-3, "position 11 rotates");
});

Deno.test("rope's inverse is the derivative of its forward", () => {
  const prng = testPrng("rope finite differences");
  const call = { ...tables(6), headCount: 2, headDim: 6, positions: [3, 0, 17] };
  const x = Float64Array.from(randomNormal(prng, 36));
  const dy = randomNormal(prng, 36);
  const loss = (at: Float64Array) =>
    ropeCpu({ ...call, x: at, inverse: false }).reduce((sum, value, i) => sum + value * dy[i]!, 0);
  checkGradient("rope", loss, x, ropeCpu({ ...call, x: dy, inverse: true }));
});

Deno.test("a head with an odd number of values is refused", async () => {
  const gpu = await testGpu();
  const t = gpu.allocate("t", 64);
  const call = { x: t, cos: t, sin: t, positions: t, rows: 1, headCount: 1, headDim: 5, inverse: false };
  assertThrows(() => encodeRope(gpu.pass, call), RangeError, "heads of 5 values");
});
