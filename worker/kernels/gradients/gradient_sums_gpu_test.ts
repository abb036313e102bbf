import { encodeAccumulateGradient, encodeMaxAbs } from "./gradient_sums.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";

// Three tensors of 64, 1,088 and 192 elements: one ends inside a workgroup, one spans two.
const BLOCKS = [0, ...new Array(17).fill(1), 2, 2, 2];
const count = BLOCKS.length * 64;
const tensorOfBlock = Uint32Array.from(BLOCKS);
const tensorOf = (index: number) => BLOCKS[Math.floor(index / 64)]!;
const bitsOf = (value: number) => new Int32Array(new Float32Array([value]).buffer)[0]!;

function largest(gradient: Float32Array): number[] {
  const result = [0, 0, 0];
  gradient.forEach((value, i) => result[tensorOf(i)] = Math.max(result[tensorOf(i)]!, Math.abs(value)));
  return result;
}

Deno.test("max_abs finds each tensor's largest magnitude, infinities and NaN included", async () => {
  const plain = randomNormal(testPrng("max_abs"), count);
  const infinite = plain.slice();
  infinite[70] = -Infinity;
  const broken = plain.slice();
  broken[count - 1] = NaN;
  const cases = [
    { gradient: plain, bits: largest(plain).map(bitsOf) },
    { gradient: infinite, bits: largest(infinite).map(bitsOf) },
    { gradient: broken, bits: [...largest(plain).slice(0, 2).map(bitsOf), bitsOf(NaN)] },
  ];
  for (const { gradient, bits } of cases) {
    await checkKernel({
      label: "max_abs",
      inputs: { gradient, tensorOfBlock },
      initial: { maxBits: new Int32Array(3) },
      expected: { maxBits: bits },
      integerOutputs: ["maxBits"],
      encode: (pass, t) => encodeMaxAbs(pass, { ...t, count }),
      tolerance: 0,
    });
  }
});

Deno.test("accumulate_gradient adds integers, exactly, in any order", async () => {
  const prng = testPrng("accumulate");
  const gradients = [0, 1, 2].map((i) => randomNormal(prng, count, 10 ** -i));
  const exponents = [-20, -26, -3];
  const scales = Float32Array.from(exponents, (exponent) => 2 ** -exponent);
  const roundHalfToEven = (value: number) => {
    const floor = Math.floor(value);
    const rest = value - floor;
    return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
  };
  gradients[0]![0] = 2.5 * 2 ** -20; // a tie: to even, that is 2
  const quantized = gradients.map((gradient) =>
    gradient.map((g, i) => roundHalfToEven(g * scales[tensorOf(i)]!))
  );
  const expected = Int32Array.from({ length: count }, (_, i) => quantized.reduce((sum, q) => sum + q[i]!, 0));
  for (const order of [["a", "b", "c"], ["c", "a", "b"]] as const) {
    await checkKernel({
      label: `accumulate_gradient ${order}`,
      inputs: { a: gradients[0]!, b: gradients[1]!, c: gradients[2]!, tensorOfBlock, scales },
      initial: { sums: new Int32Array(count) },
      expected: { sums: expected },
      integerOutputs: ["sums"],
      encode: (pass, t) => {
        for (const name of order) encodeAccumulateGradient(pass, { ...t, gradient: t[name], count });
      },
      tolerance: 0,
    });
  }
});
