import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  exponentsFrom,
  fadingMaxima,
  firstMisfit,
  firstNonFinite,
  fits,
  MAX_EXPONENT,
  mergeMaxima,
  MIN_EXPONENT,
  sumCap,
} from "./exponents.ts";

const positive = fc.float({ min: 2 ** -90, max: 2 ** 90, noNaN: true });
const maxima = fc.array(positive, { minLength: 1, maxLength: 6 }).map((values) => new Float32Array(values));
const counts = fc.integer({ min: 1, max: 5000 });

Deno.test("the smallest exponent that fits: one less does not", () => {
  fc.assert(fc.property(maxima, counts, fc.integer({ min: 0, max: 5 }), (maxAbs, count, headroom) => {
    const exponents = exponentsFrom(maxAbs, count, headroom);
    const needed = maxAbs.map((max) => max * 2 ** headroom);
    assert(fits(needed, exponents, count));
    exponents.forEach((exponent, tensor) => {
      const one = new Float32Array([needed[tensor]!]);
      assertEquals(fits(one, [exponent! - 1], count), false);
    });
  }));
});

Deno.test("no grouping of rounded gradients leaves i32", () => {
  fc.assert(fc.property(positive, counts, (max, count) => {
    const [exponent] = exponentsFrom(new Float32Array([max]), count, 0);
    const largest = Math.round(Math.fround(max * 2 ** -exponent!));
    assert(largest * count <= 2 ** 31 - 1, `${largest} · ${count}`);
  }));
});

Deno.test("by hand: the cap of 2 micro-batches is 2^30 − 1, so 1 needs 2^−29 and 2^30 − 1 needs 1", () => {
  assertEquals(sumCap(2), 2 ** 30 - 1);
  assertEquals(exponentsFrom(new Float32Array([1]), 2, 0), [-29]);
  assertEquals(exponentsFrom(new Float32Array([1]), 2, 3), [-26]);
  assertEquals(exponentsFrom(new Float32Array([0.75, 2, 0]), 2, 0), [-30, -28, null]);
});

Deno.test("a tensor that was zero has no exponent, and nothing but zero fits it", () => {
  const exponents = exponentsFrom(new Float32Array([0, 1]), 4, 3);
  assertEquals(exponents[0], null);
  assertEquals(firstMisfit(new Float32Array([0, 1]), exponents, 4), -1);
  assertEquals(firstMisfit(new Float32Array([1e-30, 1]), exponents, 4), 0);
  assertEquals(firstMisfit(new Float32Array([0, 16]), exponents, 4), 1);
  assertEquals(firstMisfit(new Float32Array([0, 1, 1]), exponents, 4), 2);
});

Deno.test("exponents stay where 2^e is a normal f32", () => {
  assertEquals(exponentsFrom(new Float32Array([2 ** -149]), 1, 0), [MIN_EXPONENT]);
  assertEquals(exponentsFrom(new Float32Array([3.4e38]), 1, 3), [100]);
  assertEquals(exponentsFrom(new Float32Array([3.4e38]), 2 ** 30, 3), [MAX_EXPONENT]);
});

Deno.test("NaN and infinity are found and fit nothing", () => {
  assertEquals(firstNonFinite(new Float32Array([1, 2])), -1);
  assertEquals(firstNonFinite(new Float32Array([1, NaN])), 1);
  assertEquals(firstNonFinite(new Float32Array([-Infinity, NaN])), 0);
  assertEquals(fits(new Float32Array([NaN]), [0], 1), false);
  assertEquals(fits(new Float32Array([Infinity]), [126], 1), false);
});

Deno.test("maxima over micro-batches are taken tensor by tensor", () => {
  assertEquals(mergeMaxima([new Float32Array([1, 5]), new Float32Array([3, 2])]), new Float32Array([3, 5]));
  assertEquals(mergeMaxima([]), new Float32Array(0));
});

Deno.test("fading maxima are those of the step, or what is left of larger ones before it", () => {
  const before = new Float32Array([8, 8, 0]);
  assertEquals(fadingMaxima(before, new Float32Array([1, 7, 3]), 0.75), new Float32Array([6, 7, 3]));
  // Before the first step there are none.
  assertEquals(fadingMaxima(new Float32Array(0), new Float32Array([1, 0]), 0.75), new Float32Array([1, 0]));
});
