import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { piecesOf, readStateWords, stateOfWords, stateWordCount } from "./state_words.ts";

Deno.test("a state in pieces of any size is the same state, bit for bit", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 70 }), (size, maxCount) => {
      const part = (first: number) =>
        Float32Array.from({ length: size }, (_, i) => Math.fround((first + i) / 3));
      const state = { updateCount: 4, adapter: part(1), firstMoment: part(-50), secondMoment: part(1000) };
      state.adapter[0] = NaN;
      const words = new Int32Array(stateWordCount(size));
      for (const { offset, count } of piecesOf(words.length, maxCount)) {
        words.set(readStateWords(state, offset, count), offset);
      }
      assertEquals(stateOfWords(words, 4), state);
    }),
  );
});

Deno.test("a piece may span all three arrays of a state", () => {
  const state = {
    updateCount: 1,
    adapter: Float32Array.of(1, 2),
    firstMoment: Float32Array.of(3, 4),
    secondMoment: Float32Array.of(5, 6),
  };
  assertEquals(new Float32Array(readStateWords(state, 1, 4).buffer), Float32Array.of(2, 3, 4, 5));
});
