import { checkGradient } from "../testing/check_gradient.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { f32Tolerance } from "../testing/tolerance.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { encodeSwiglu, encodeSwigluBackward } from "./swiglu.ts";
import { swigluBackwardCpu, swigluCpu } from "./swiglu_cpu.ts";

for (const count of [1, 257, 5000]) {
  Deno.test(`swiglu of ${count} agrees with its reference, forward and backward`, async () => {
    const prng = testPrng(`swiglu ${count}`);
    const [gate, up, dy] = [
      randomNormal(prng, count, 4),
      randomNormal(prng, count),
      randomNormal(prng, count),
    ];
    gate[0] = -100; // exp(100) is beyond f32: the result must be 0, not NaN
    await checkKernel({
      label: `swiglu ${count}`,
      inputs: { gate, up },
      expected: { y: swigluCpu(gate, up) },
      encode: (pass, t) => encodeSwiglu(pass, { ...t, count }),
      tolerance: f32Tolerance(4, 8),
    });
    const { dGate, dUp } = swigluBackwardCpu(gate, up, dy);
    await checkKernel({
      label: `swiglu_backward ${count}`,
      inputs: { dy },
      initial: { gate, up },
      expected: { gate: dGate, up: dUp },
      encode: (pass, t) => encodeSwigluBackward(pass, { ...t, count }),
      tolerance: f32Tolerance(8, 16),
    });
  });
}

Deno.test("swiglu's backward reference is the derivative of its forward", () => {
  const prng = testPrng("swiglu finite differences");
  const [gate, up, dy] = [0, 1, 2].map(() => Float64Array.from(randomNormal(prng, 9)));
  const weighted = (y: Float64Array) => y.reduce((sum, value, i) => sum + value * dy![i]!, 0);
  const { dGate, dUp } = swigluBackwardCpu(gate!, up!, dy!);
  checkGradient("gate", (at) => weighted(swigluCpu(at, up!)), gate!, dGate);
  checkGradient("up", (at) => weighted(swigluCpu(gate!, at)), up!, dUp);
});
