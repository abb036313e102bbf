import { assertEquals } from "@std/assert";
import { planPasses, type Sequence } from "./generation_pass.ts";

function sequence(prompt: number[], cacheStart: number): Sequence {
  return { prompt: Uint32Array.from(prompt), cacheStart, answer: [], cached: 0, done: false };
}

Deno.test("the first pass has all tokens of all prompts, later ones the newest token of each", () => {
  const sequences = [sequence([5, 6, 7], 0), sequence([8], 20)];
  assertEquals(planPasses(sequences, 8, null), [{
    tokens: [5, 6, 7, 8],
    ropeRows: [0, 1, 2, 0],
    keyStarts: [0, 0, 0, 20],
    cacheRows: [0, 1, 2, 20],
    lastRows: [2, 3],
  }]);
  sequences[0]!.answer.push(41);
  sequences[1]!.answer.push(42);
  assertEquals(planPasses(sequences, 8, null), [{
    tokens: [41, 42],
    ropeRows: [3, 1],
    keyStarts: [0, 20],
    cacheRows: [3, 21],
    lastRows: [0, 1],
  }]);
  assertEquals(sequences.map(({ cached }) => cached), [4, 2]);
});

Deno.test("a sequence that becomes long goes through the model again, with long factors and in several passes", () => {
  const [growing, long] = [sequence([1, 2, 3], 0), sequence([4, 5, 6, 7, 8], 10)];
  const [first] = planPasses([growing, long], 8, 4);
  assertEquals(first!.ropeRows, [0, 1, 2, 4, 5, 6, 7, 8]);
  growing.answer.push(9);
  long.answer.push(9);
  assertEquals(planPasses([growing, long], 8, 4)[0]!.ropeRows, [3, 9]);
  growing.answer.push(10);
  long.answer.push(10);
  const passes = planPasses([growing, long], 4, 4);
  assertEquals(passes.map(({ tokens }) => tokens), [[1, 2, 3, 9], [10, 10]]);
  assertEquals(passes.map(({ ropeRows }) => ropeRows), [[4, 5, 6, 7], [8, 10]]);
  assertEquals(passes.map(({ cacheRows }) => cacheRows), [[0, 1, 2, 3], [4, 16]]);
  assertEquals(passes.map(({ lastRows }) => lastRows), [[], [0, 1]]);
  growing.answer.push(11);
  assertEquals(planPasses([growing], 4, 4)[0]!.tokens, [11]);
});
