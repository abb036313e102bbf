import { checkGradient } from "../testing/check_gradient.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { f32Tolerance } from "../testing/tolerance.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { encodeGlu, encodeGluBackward } from "./glu.ts";
import { gluBackwardCpu, gluCpu } from "./glu_cpu.ts";

const UNITS = [["swiglu", "silu"], ["geglu_tanh", "gelu_pytorch_tanh"]] as const;

for (const [unit, activation] of UNITS) {
  for (const count of [1, 257, 5000]) {
    Deno.test(`${unit} of ${count} agrees with its reference, forward and backward`, async () => {
      const prng = testPrng(`${unit} ${count}`);
      const [gate, up, dy] = [
        randomNormal(prng, count, 4),
        randomNormal(prng, count),
        randomNormal(prng, count),
      ];
      gate[0] = -100; // exp(100) is beyond f32: the result must be 0, not NaN
      if (count > 1) gate[1] = 100;
      await checkKernel({
        label: `${unit} ${count}`,
        inputs: { gate, up },
        expected: { y: gluCpu(activation, gate, up) },
        encode: (pass, t) => encodeGlu(pass, { ...t, count, activation }),
        tolerance: f32Tolerance(4, 8),
      });
      const { dGate, dUp } = gluBackwardCpu(activation, gate, up, dy);
      await checkKernel({
        label: `${unit}_backward ${count}`,
        inputs: { dy },
        initial: { gate, up },
        expected: { gate: dGate, up: dUp },
        encode: (pass, t) => encodeGluBackward(pass, { ...t, count, activation }),
        tolerance: f32Tolerance(8, 16),
      });
    });
  }

  Deno.test(`${unit}'s backward reference is the derivative of its forward`, () => {
    const prng = testPrng(`${unit} finite differences`);
    const [gate, up, dy] = [0, 1, 2].map(() => Float64Array.from(randomNormal(prng, 9)));
    const weighted = (y: Float64Array) => y.reduce((sum, value, i) => sum + value * dy![i]!, 0);
    const { dGate, dUp } = gluBackwardCpu(activation, gate!, up!, dy!);
    checkGradient("gate", (at) => weighted(gluCpu(activation, at, up!)), gate!, dGate);
    checkGradient("up", (at) => weighted(gluCpu(activation, gate!, at)), up!, dUp);
  });
}
