import { assertEquals } from "@std/assert";
import { attendedPairs, documentEnds } from "./micro_batch_upload.ts";

Deno.test("a document ends where the next one begins, the last one with the micro-batch", () => {
  const ends = (...starts: number[]) => [...documentEnds(Uint32Array.from(starts))];
  assertEquals(ends(0), [1]);
  assertEquals(ends(0, 0, 0), [3, 3, 3]);
  assertEquals(ends(0, 0, 2, 3, 3, 3), [2, 2, 3, 6, 6, 6]);
  assertEquals(ends(0, 1, 2), [1, 2, 3]);
  assertEquals(ends(), []);
});

Deno.test("the pairs that attention computes are those that its ranges have, with a window and without", () => {
  const segmentStarts = Uint32Array.of(0, 0, 0, 0, 0, 5, 6, 6, 6);
  assertEquals(attendedPairs(segmentStarts, (t) => t + 1, null), { whole: 15 + 1 + 6, windowed: 15 + 1 + 6 });
  assertEquals(attendedPairs(segmentStarts, (t) => t + 1, 2), {
    whole: 22,
    windowed: 1 + 4 * 2 + 1 + 1 + 2 * 2,
  });
  // One token of an answer, behind 1000 keys in a cache.
  assertEquals(attendedPairs(Uint32Array.of(24), () => 1024, 100), { whole: 1000, windowed: 100 });
});
