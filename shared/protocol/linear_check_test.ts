import { assert, assertEquals, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { addChecksum, addWords, CHECK_BLOCK, checkWeights, sameWords } from "./linear_check.ts";

const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const pair = fc.array(fc.tuple(i32, i32), { minLength: 1, maxLength: 300 });

function checksum(values: Int32Array, seed = 7, offset = 0): Int32Array {
  const words = new Int32Array(2);
  addChecksum(checkWeights(seed), offset, values, words);
  return words;
}

Deno.test("the checksum of a sum is the sum of the checksums, overflows included", () => {
  fc.assert(fc.property(pair, fc.nat(), (pairs, seed) => {
    const [a, b] = [Int32Array.from(pairs, ([x]) => x), Int32Array.from(pairs, ([, y]) => y)];
    const total = checksum(a, seed);
    addWords(total, 0, checksum(b, seed), 0);
    assertEquals(total, checksum(a.map((value, i) => value + b[i]! | 0), seed));
  }));
});

Deno.test("pieces that begin at multiples of 64 add up to the whole", () => {
  fc.assert(fc.property(fc.array(i32, { maxLength: 400 }), fc.nat({ max: 6 }), (numbers, blocks) => {
    const values = Int32Array.from(numbers);
    const cut = Math.min(values.length, blocks * CHECK_BLOCK);
    const words = checksum(values.subarray(0, cut));
    addChecksum(checkWeights(7), blocks * CHECK_BLOCK, values.subarray(cut), words);
    assert(sameWords(words, 0, checksum(values), 0));
  }));
});

Deno.test("one changed element is always seen, its sign bit included", () => {
  fc.assert(fc.property(
    fc.array(i32, { minLength: 1, maxLength: 300 }),
    fc.nat(),
    fc.nat({ max: 31 }),
    (numbers, place, bit) => {
      const values = Int32Array.from(numbers);
      const changed = values.slice();
      changed[place % values.length]! ^= 1 << bit;
      assertNotEquals(checksum(changed)[0], checksum(values)[0]);
    },
  ));
});

Deno.test("swapped elements, and swapped blocks, are seen", () => {
  const values = Int32Array.from({ length: 256 }, (_, i) => i * i);
  const swapped = values.slice();
  [swapped[3], swapped[200]] = [swapped[200]!, swapped[3]!];
  const blocks = Int32Array.from({ length: 256 }, (_, i) => values[(i + 64) % 256]!);
  for (const other of [swapped, blocks]) assertNotEquals(checksum(other), checksum(values));
});

Deno.test("different seeds have different weights, the same seed the same everywhere", () => {
  const values = Int32Array.from({ length: 130 }, (_, i) => i - 65);
  assertNotEquals(checksum(values, 8), checksum(values, 9));
  assertEquals([...checksum(values, 8)], KNOWN);
});

/** Workers of any release of this protocol version have to compute it. */
const KNOWN = [191522967, 1237474437];
