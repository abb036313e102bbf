import { assert, assertAlmostEquals } from "@std/assert";
import { checkKernel } from "../testing/kernel_contract.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { f32Tolerance } from "../testing/tolerance.ts";
import { counterKey } from "./counter_hash.ts";
import { encodeEmbeddingNoise, uniformNoise } from "./embedding_noise.ts";

const key = counterKey(42, 7, 2 ** 32 - 1);

/** Two documents of 5 and 1 tokens, then one of 30. */
const documentStarts = Uint32Array.from([0, 0, 0, 0, 0, 5, ...Array(30).fill(6)]);
const documentEnds = Uint32Array.from([5, 5, 5, 5, 5, 6, ...Array(30).fill(36)]);

Deno.test("noise is added within alpha/√(L·d) of each document, as the reference draws it", async () => {
  const [rows, columns, alpha] = [36, 70, 5];
  const before = randomNormal(testPrng("embedding noise"), rows * columns);
  const bound = (row: number) => alpha / Math.sqrt((documentEnds[row]! - documentStarts[row]!) * columns);
  const expected = Array.from(before, (x, i) => x + uniformNoise(key, i) * bound(Math.floor(i / columns)));
  await checkKernel({
    label: "embedding noise",
    inputs: { documentStarts, documentEnds },
    initial: { x: before },
    expected: { x: expected },
    encode: (pass, t) => encodeEmbeddingNoise(pass, { ...t, rows, columns, key, alpha }),
    tolerance: f32Tolerance(3, 4),
  });
});

Deno.test("noise is uniform in [−1, 1), and that of other micro-batches and seeds is independent", () => {
  const count = 100_000;
  const draw = (key: ReturnType<typeof counterKey>) =>
    Array.from({ length: count }, (_, i) => uniformNoise(key, i));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / count;
  const first = draw(key);
  assert(first.every((value) => value >= -1 && value < 1));
  // Variances of one draw: 1/3 of the value, 4/45 of its square, 1/9 of a product of two; five standard deviations.
  assertAlmostEquals(mean(first), 0, 5 * Math.sqrt(1 / 3 / count));
  assertAlmostEquals(mean(first.map((value) => value ** 2)), 1 / 3, 5 * Math.sqrt(4 / 45 / count));
  for (
    const other of [counterKey(42, 8, 2 ** 32 - 1), counterKey(43, 7, 2 ** 32 - 1), counterKey(42, 7, 0)]
  ) {
    const second = draw(other);
    assertAlmostEquals(mean(first.map((value, i) => value * second[i]!)), 0, 5 * Math.sqrt(1 / 9 / count));
  }
});
