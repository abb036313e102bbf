import { assert, assertNotEquals } from "@std/assert";
import { counterKey } from "./counter_hash.ts";
import { encodeDropout, isKept } from "./dropout.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";

const key = counterKey(42, 7, 3);

Deno.test("dropout keeps the same elements as its reference, scaled", async () => {
  const [count, probability] = [3000, 0.1];
  const prng = testPrng("dropout");
  const [x, before] = [randomNormal(prng, count), randomNormal(prng, count)];
  const scale = Math.fround(1 / (1 - probability));
  const masked = x.map((value, i) => isKept(key, i, probability) ? Math.fround(value * scale) : 0);
  await checkKernel({
    label: "dropout",
    inputs: { x },
    expected: { y: masked },
    encode: (pass, t) => encodeDropout(pass, { ...t, count, key, probability, accumulate: false }),
    tolerance: 0,
  });
  await checkKernel({
    label: "dropout, accumulating",
    inputs: { x },
    initial: { y: before },
    expected: { y: masked.map((value, i) => value + before[i]!) },
    encode: (pass, t) => encodeDropout(pass, { ...t, count, key, probability, accumulate: true }),
    tolerance: 1e-6,
  });
});

Deno.test("dropout drops its share, and masks of other modules, micro-batches and seeds are independent", () => {
  const count = 100_000;
  const agreement = (a: ReturnType<typeof counterKey>, b: ReturnType<typeof counterKey>) => {
    let equal = 0;
    for (let i = 0; i < count; i++) equal += Number(isKept(a, i, 0.5) === isKept(b, i, 0.5));
    return equal / count;
  };
  let kept = 0;
  for (let i = 0; i < count; i++) kept += Number(isKept(key, i, 0.1));
  // Four standard deviations of a binomial share: 4·√(0.1·0.9/100,000) and 4·√(0.25/100,000).
  assert(Math.abs(kept / count - 0.9) < 0.0038, `kept ${kept / count}`);
  for (const other of [counterKey(42, 7, 4), counterKey(42, 8, 3), counterKey(43, 7, 3)]) {
    assertNotEquals(other, key);
    assert(Math.abs(agreement(key, other) - 0.5) < 0.0064);
  }
});
