import { assertEquals } from "@std/assert";
import { ChunkSet, chunkSetOf } from "./chunk_set.ts";

Deno.test("a set travels as a bitmap", () => {
  const set = new ChunkSet(70);
  assertEquals([set.add(0), set.add(31), set.add(32), set.add(69), set.add(31)], [
    true,
    true,
    true,
    true,
    false,
  ]);
  assertEquals([...set.words], [1 | 1 << 31, 1, 1 << 5]);
  const copy = chunkSetOf(set.words.slice(), 70)!;
  assertEquals([copy.size, copy.has(69), copy.has(68), copy.isFull], [4, true, false, false]);
});

Deno.test("a set is full when every chunk is in", () => {
  const set = new ChunkSet(33);
  for (let chunk = 0; chunk < 33; chunk++) {
    assertEquals(set.isFull, false);
    set.add(chunk);
  }
  assertEquals([set.isFull, new ChunkSet(0).isFull], [true, true]);
});

Deno.test("bitmaps of the wrong size, or with bits beyond the last chunk, are refused", () => {
  assertEquals(chunkSetOf(new Int32Array(1), 33), null);
  assertEquals(chunkSetOf(new Int32Array(3), 33), null);
  assertEquals(chunkSetOf(Int32Array.of(-1, 2), 33), null);
  assertEquals(chunkSetOf(Int32Array.of(-1, 1), 33)?.isFull, true);
});
