import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { createMerger } from "./merge.ts";
import { PairTable } from "./pair_table.ts";

/** Merges of a few symbols; the pair of ranks r gives the id 4 + r. */
const PAIRS: readonly (readonly [number, number])[] = [
  [0, 1],
  [0, 0],
  [5, 5],
  [4, 2],
  [1, 1],
  [2, 3],
  [6, 5],
  [0, 4],
  [9, 3],
  [7, 0],
];
const table = new PairTable(PAIRS.length);
PAIRS.forEach(([left, right], rank) => table.set(left, right, rank));
const merge = createMerger(table, Int32Array.from(PAIRS, (_, rank) => 4 + rank));

/** The definition: the pair of the lowest rank, the leftmost one, again and again. */
function mergeSlowly(ids: readonly number[], never: ReadonlySet<number> | null): number[] {
  const merged = [...ids];
  for (;;) {
    const best = PAIRS.findIndex(([left, right], rank) =>
      never?.has(4 + rank) !== true &&
      merged.some((id, i) => id === left && merged[i + 1] === right)
    );
    if (best === -1) return merged;
    const at = merged.findIndex((id, i) => id === PAIRS[best]![0] && merged[i + 1] === PAIRS[best]![1]);
    merged.splice(at, 2, 4 + best);
  }
}

Deno.test("short and long words are merged in the order of ranks, the leftmost first", () => {
  const words = fc.array(fc.nat(3), { minLength: 1, maxLength: 70 });
  fc.assert(
    fc.property(words, fc.boolean(), (ids, isGuarded) => {
      const never = isGuarded ? new Set([4, 7]) : null;
      assertEquals(merge([...ids], never), mergeSlowly(ids, never));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("a word of a million symbols takes n log n steps: seconds, not hours", () => {
  const merged = merge(new Array(1_000_000).fill(0), null);
  // Zeros pair up to 5, fives to 6.
  assertEquals(merged.length, 250_000);
  assertEquals(new Set(merged), new Set([6]));
});
