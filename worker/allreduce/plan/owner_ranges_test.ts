import { assert, assertEquals, assertLessOrEqual, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LoraFleetError } from "../../../shared/errors.ts";
import { equalWeights, ownerRanges, RANGE_ALIGNMENT } from "./owner_ranges.ts";

Deno.test("three owners of 1000 elements", () => {
  assertEquals(ownerRanges(1000, equalWeights(3)), [
    { offset: 0, count: 320 },
    { offset: 320, count: 384 },
    { offset: 704, count: 296 },
  ]);
});

Deno.test("a link of three times the bandwidth gets three times the range", () => {
  assertEquals(ownerRanges(64 * 40, [3, 1]).map(({ count }) => count), [64 * 30, 64 * 10]);
});

Deno.test("ranges cover everything once, aligned, in proportion", () => {
  const weightLists = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 40 })
    .filter((weights) => weights.some((weight) => weight > 1e-9));
  fc.assert(fc.property(fc.nat({ max: 1_000_000 }), weightLists, (elementCount, weights) => {
    const ranges = ownerRanges(elementCount, weights);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let end = 0;
    ranges.forEach(({ offset, count }, index) => {
      assertEquals(offset, end);
      assert(count >= 0);
      assert(offset % RANGE_ALIGNMENT === 0 || offset === elementCount);
      assertLessOrEqual(Math.abs(count - elementCount * weights[index]! / total), 2 * RANGE_ALIGNMENT);
      end += count;
    });
    assertEquals([ranges.length, end], [weights.length, elementCount]);
  }));
});

Deno.test("fewer blocks than owners: some own nothing", () => {
  assertEquals(ownerRanges(100, equalWeights(5)).reduce((sum, { count }) => sum + count, 0), 100);
  assertEquals(ownerRanges(0, equalWeights(2)), [{ offset: 0, count: 0 }, { offset: 0, count: 0 }]);
});

Deno.test("weights that mean nothing are refused", () => {
  for (const weights of [[], [0, 0], [1, -1, 3], [NaN], [Infinity]]) {
    const error = assertThrows(() => ownerRanges(10, weights), LoraFleetError);
    assertEquals(error.code, "invalid_request");
  }
});
