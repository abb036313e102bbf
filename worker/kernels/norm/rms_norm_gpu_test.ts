import { checkGradient } from "../testing/check_gradient.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { f32Tolerance } from "../testing/tolerance.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { encodeRmsNorm, encodeRmsNormBackward } from "./rms_norm.ts";
import { rmsNormBackwardCpu, rmsNormCpu } from "./rms_norm_cpu.ts";

const EPSILON = 1e-5;
const SHAPES = [[1, 1], [3, 64], [5, 96], [2, 131], [7, 1024], [65_540, 16]] as const;
/** Both kinds run on any device. */
const KINDS = ["cpu", "gpu"] as const;

for (
  const [kind, rows, columns] of SHAPES.flatMap((shape) => KINDS.map((kind) => [kind, ...shape] as const))
) {
  Deno.test(`rms_norm for a ${kind}, ${rows}×${columns}, agrees with its reference`, async () => {
    const prng = testPrng(`rms_norm ${rows} ${columns}`);
    const x = randomNormal(prng, rows * columns);
    const weight = randomNormal(prng, columns);
    const expected = rmsNormCpu(x, weight, columns, EPSILON);
    await checkKernel({
      label: `rms_norm for a ${kind}, ${rows}×${columns}`,
      inputs: { x, weight },
      expected,
      encode: (pass, t) => encodeRmsNorm(pass, { ...t, rows, columns, epsilon: EPSILON, kind }),
      tolerance: f32Tolerance(columns, 4),
    });
  });

  Deno.test(`rms_norm for a ${kind}, ${rows}×${columns}, adds to what is there`, async () => {
    const prng = testPrng(`rms_norm adds ${rows} ${columns}`);
    const [x, before] = [0, 1].map(() => randomNormal(prng, rows * columns));
    const weight = randomNormal(prng, columns);
    const { y, rstd } = rmsNormCpu(x!, weight, columns, EPSILON);
    await checkKernel({
      label: `rms_norm that adds, for a ${kind}, ${rows}×${columns}`,
      inputs: { x: x!, weight },
      initial: { y: before! },
      expected: { y: y.map((value, i) => value + before![i]!), rstd },
      encode: (pass, t) =>
        encodeRmsNorm(pass, { ...t, rows, columns, epsilon: EPSILON, kind, accumulate: true }),
      tolerance: f32Tolerance(columns, 4),
    });
  });

  Deno.test(`rms_norm_backward for a ${kind}, ${rows}×${columns}, agrees with its reference`, async () => {
    const prng = testPrng(`rms_norm_backward ${rows} ${columns}`);
    const [x, dy, before] = [0, 1, 2].map(() => randomNormal(prng, rows * columns));
    const weight = randomNormal(prng, columns);
    const rstd = Float32Array.from(rmsNormCpu(x!, weight, columns, EPSILON).rstd);
    const dx = rmsNormBackwardCpu(x!, weight, dy!, columns, EPSILON).map((value, i) => value + before![i]!);
    await checkKernel({
      label: `rms_norm_backward for a ${kind}, ${rows}×${columns}`,
      inputs: { x: x!, weight, rstd, dy: dy! },
      initial: { dx: before! },
      expected: { dx },
      encode: (pass, t) => encodeRmsNormBackward(pass, { ...t, rows, columns, kind }),
      tolerance: f32Tolerance(columns, 4 * Math.max(...rstd)),
    });
  });
}

Deno.test("rms_norm's backward reference is the derivative of its forward", () => {
  const prng = testPrng("rms_norm finite differences");
  const [rows, columns] = [3, 7];
  const x = Float64Array.from(randomNormal(prng, rows * columns));
  const [weight, dy] = [randomNormal(prng, columns), randomNormal(prng, rows * columns)];
  const loss = (at: Float64Array) =>
    rmsNormCpu(at, weight, columns, EPSILON).y.reduce((sum, value, i) => sum + value * dy[i]!, 0);
  checkGradient("rms_norm", loss, x, rmsNormBackwardCpu(x, weight, dy, columns, EPSILON));
});
