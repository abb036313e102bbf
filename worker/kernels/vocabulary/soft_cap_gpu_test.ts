import { checkKernel } from "../testing/kernel_contract.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { encodeSoftCap } from "./soft_cap.ts";

const CAP = 30;

// Small logits are as exact, relatively, as large ones; far above the cap they stop at it.
for (const magnitude of [1e-6, 1e-3, 0.3, 1, 3, 100, 1e20]) {
  Deno.test(`soft cap of logits near ${magnitude} times the cap: within six roundings of a result`, async () => {
    const logits = randomNormal(testPrng(`soft cap ${magnitude}`), 777, magnitude * CAP);
    const expected = Float64Array.from(logits, (value) => CAP * Math.tanh(value / CAP));
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    await checkKernel({
      label: `soft cap ${magnitude}`,
      inputs: {},
      initial: { logits },
      expected: { logits: expected },
      encode: (pass, t) => encodeSoftCap(pass, { ...t, count: logits.length, cap: CAP }),
      tolerance: 6 * 2 ** -24 * largest,
    });
  });
}
