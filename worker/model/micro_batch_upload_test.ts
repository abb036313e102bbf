import { assertEquals } from "@std/assert";
import { documentEnds } from "./micro_batch_upload.ts";

Deno.test("a document ends where the next one begins, the last one with the micro-batch", () => {
  const ends = (...starts: number[]) => [...documentEnds(Uint32Array.from(starts))];
  assertEquals(ends(0), [1]);
  assertEquals(ends(0, 0, 0), [3, 3, 3]);
  assertEquals(ends(0, 0, 2, 3, 3, 3), [2, 2, 3, 6, 6, 6]);
  assertEquals(ends(0, 1, 2), [1, 2, 3]);
  assertEquals(ends(), []);
});
