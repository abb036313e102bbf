import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { pcg32 } from "../../../shared/prng.ts";
import { SubmitRates } from "./submit_rates.ts";

/** Milliseconds per operation of a GPU that has 10 TFLOP/s in one kernel and 2 in another. */
const TRUE_RATES: Record<string, number> = { matmul: 1e-10, attention: 5e-10, norm: 1e-9 };

function timeOf(work: ReadonlyMap<string, number>): number {
  return [...work].reduce((sum, [kernel, flops]) => sum + flops * TRUE_RATES[kernel]!, 0);
}

Deno.test("rates of kernels that never run alone are learnt from mixed submits", () => {
  const prng = pcg32(7);
  const random = () => prng.uniform();
  const rates = new SubmitRates(2e11);
  for (let round = 0; round < 40; round++) {
    const submits = Array.from({ length: 30 }, () => {
      const work = new Map(Object.keys(TRUE_RATES).map((kernel) => [kernel, 1e9 * (1 + 20 * random())]));
      return { work, milliseconds: timeOf(work) * (0.95 + 0.1 * random()) };
    });
    rates.learn(submits);
  }
  for (const [kernel, rate] of Object.entries(TRUE_RATES)) {
    const found = rates.predict(kernel, 1);
    assert(found > rate * 0.7 && found < rate * 1.4, `${kernel}: ${found}, in truth ${rate}`);
  }
});

Deno.test("one measurement of everything together makes the prediction of everything right", () => {
  const rates = new SubmitRates(1e9);
  const work = new Map([["matmul", 6e10], ["attention", 1e10]]);
  rates.learn([{ work, milliseconds: 11 }]);
  assertAlmostEquals(rates.predict("matmul", 6e10) + rates.predict("attention", 1e10), 11, 1e-9);
});

Deno.test("a kernel that was never measured counts as fast as the whole; before, as the slowest GPU", () => {
  const rates = new SubmitRates(2e11);
  assertEquals(rates.predict("new", 2e11), 1000);
  rates.learn([{ work: new Map([["matmul", 1e12]]), milliseconds: 100 }]);
  assertAlmostEquals(rates.predict("new", 1e12), 100, 1e-9);
  rates.learn([{ work: new Map([["sums", 1e6]]), milliseconds: 50 }]); // a little work says nothing about speed
  assertAlmostEquals(rates.predict("other", 1e12), 100, 1e-9);
});

Deno.test("times of nothing and no times change no rate", () => {
  const rates = new SubmitRates(1e12);
  rates.learn([]);
  rates.learn([{ work: new Map([["matmul", 1e9]]), milliseconds: 0 }]);
  rates.learn([{ work: new Map(), milliseconds: 5 }]);
  assertAlmostEquals(rates.predict("matmul", 1e12), 1000, 1e-9);
});
