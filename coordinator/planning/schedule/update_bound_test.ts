import { assertAlmostEquals, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { pcg32 } from "../../../shared/prng.ts";
import { largestRatio, type MoveSpec, updateBound } from "./update_bound.ts";

const ADAM: MoveSpec = { adam_beta1: 0.9, adam_beta2: 0.999, weight_decay: 0 };

/** |m̂|/√v̂ after these gradients, by the textbook. */
function ratioAfter(
  gradients: readonly number[],
  { adam_beta1: beta1, adam_beta2: beta2 }: MoveSpec,
): number {
  let [m, v] = [0, 0];
  for (const g of gradients) {
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
  }
  const t = gradients.length;
  return Math.abs(m / (1 - beta1 ** t)) / Math.sqrt(v / (1 - beta2 ** t));
}

Deno.test("no gradients exceed the bound, and the worst ones reach it", () => {
  const random = pcg32(11);
  for (const adam_beta1 of [0, 0.5, 0.9]) {
    for (const adam_beta2 of [0.5, 0.95, 0.999]) {
      const spec = { ...ADAM, adam_beta1, adam_beta2 };
      for (const t of [1, 2, 8, 25, 50]) {
        const bound = largestRatio(t, spec);
        for (let run = 0; run < 50; run++) {
          const gradients = Array.from(
            { length: t },
            () => random.normal() * 10 ** (6 * random.uniform() - 3),
          );
          assertLessOrEqual(ratioAfter(gradients, spec), bound * (1 + 1e-12));
        }
        // Where Cauchy and Schwarz have equality: gᵢ ∝ wᵢ/uᵢ.
        const worst = Array.from({ length: t }, (_, i) => (adam_beta1 / adam_beta2) ** (t - 1 - i));
        assertAlmostEquals(ratioAfter(worst, spec), bound, 1e-9 * bound);
      }
    }
  }
});

Deno.test("the first move is the learning rate for any gradient; moves add up", () => {
  assertEquals(updateBound([0.01], ADAM), 0.01);
  assertAlmostEquals(largestRatio(25, ADAM), 1.2278, 1e-4);
  const both = updateBound([0.01, 0.02], ADAM);
  assertAlmostEquals(both, 0.01 + 0.02 * largestRatio(2, ADAM), 1e-15);
  assertEquals(updateBound([0, 0, 0], ADAM), 0);
});

Deno.test("a decay moves parameters as well; without a second moment there is no bound", () => {
  assertGreater(updateBound([0.01], { ...ADAM, weight_decay: 0.1 }), 0.01);
  assertEquals(updateBound([0.01, 0.01], { ...ADAM, adam_beta2: 0 }), Infinity);
  assertEquals(updateBound([0.01, 0], { ...ADAM, adam_beta2: 0 }), 0.01);
  assertEquals(updateBound([0.01, 0.01], { ...ADAM, adam_beta1: 0, adam_beta2: 0 }), 0.02);
});
