import { assertEquals } from "@std/assert";
import { createExactCodec } from "./exact_codec.ts";
import { createScratch } from "./scratch.ts";

const RANGE = { offset: 4, count: 4 };
const CHUNKS = [{ offset: 4, count: 3 }, { offset: 7, count: 1 }] as const;

Deno.test("an owner adds payloads to its own sums, chunk by chunk; all else of its sums stays", () => {
  const sums = Int32Array.from({ length: 10 }, (_, index) => index);
  const scratch = createScratch();
  // Memory of an earlier round.
  new Int32Array(scratch.take(64)).fill(99);
  const codec = createExactCodec(sums, RANGE, scratch);
  codec.add(CHUNKS[0], Int32Array.of(10, 20, 30), true);
  codec.add(CHUNKS[1], Int32Array.of(40), true);
  codec.add(CHUNKS[0], Int32Array.of(100, 200, -30), false);
  assertEquals([...sums], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  for (const chunk of CHUNKS) codec.finish(chunk);
  assertEquals([...sums], [0, 1, 2, 3, 114, 225, 6, 47, 8, 9]);
  assertEquals(CHUNKS.flatMap((chunk) => [...codec.encodeResult(chunk)]), [114, 225, 6, 47]);
});

Deno.test("a result outlives the array that the caller was given", () => {
  const sums = Int32Array.of(1, 2, 3, 4);
  const codec = createExactCodec(sums, { offset: 0, count: 2 }, createScratch());
  codec.add({ offset: 0, count: 2 }, Int32Array.of(5, 6), true);
  codec.finish({ offset: 0, count: 2 });
  codec.takeResult({ offset: 2, count: 2 }, Int32Array.of(8, 9));
  assertEquals([...sums], [6, 8, 8, 9]);
  structuredClone(sums, { transfer: [sums.buffer] });
  assertEquals([...codec.encodeResult({ offset: 0, count: 2 })], [6, 8]);
});

Deno.test("what is sent is the sums as they are", () => {
  const codec = createExactCodec(Int32Array.of(1, 2, 3), { offset: 0, count: 1 }, createScratch());
  assertEquals([...codec.encodeSums({ offset: 1, count: 2 })], [2, 3]);
  assertEquals([codec.frameCodec, codec.payloadWords(7)], ["i32", 7]);
});
