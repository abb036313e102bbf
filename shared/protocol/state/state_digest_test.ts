import { assertEquals, assertNotEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { pcg32 } from "../../prng.ts";
import { CHUNK_ELEMENTS, digestOfArrays, digestOfWords, formerDigestOf } from "./state_digest.ts";

const ELEMENTS = 17 * CHUNK_ELEMENTS + 64;
const prng = pcg32(1);
const random = () => Float32Array.from({ length: ELEMENTS }, () => prng.normal());
const state = [random(), random(), random()] as const;
const sha256 = (...parts: (string | Uint8Array)[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

Deno.test("a digest is that of its definition", () => {
  const chunks = Array.from({ length: 18 }, (_, i) => {
    const [from, to] = [CHUNK_ELEMENTS * i, CHUNK_ELEMENTS * (i + 1)];
    return sha256(...state.map((array) => new Uint8Array(array.slice(from, to).buffer)));
  });
  assertEquals(digestOfArrays(state), sha256(`lorafleet state ${ELEMENTS}\n`, ...chunks).toString("hex"));
});

Deno.test("every number counts, and its place", () => {
  const before = digestOfArrays(state);
  const [adapter, first, second] = state;
  assertNotEquals(digestOfArrays([adapter, second, first]), before);
  for (const [array, at] of [[adapter, 0], [first, CHUNK_ELEMENTS], [second, ELEMENTS - 1]] as const) {
    const value = array[at]!;
    array[at] = -value;
    assertNotEquals(digestOfArrays(state), before);
    array[at] = value;
  }
  assertEquals(digestOfArrays(state), before);
  const shorter = [adapter.subarray(64), first.subarray(64), second.subarray(64)] as const;
  assertNotEquals(digestOfArrays(shorter), before);
});

Deno.test("read piece by piece it is the same", async () => {
  const words = new Int32Array(3 * ELEMENTS);
  for (const [index, array] of state.entries()) words.set(new Int32Array(array.buffer), index * ELEMENTS);
  const read = (offset: number, count: number) => Promise.resolve(words.slice(offset, offset + count));
  assertEquals(await digestOfWords(ELEMENTS, read), digestOfArrays(state));
});

Deno.test("the former digest is SHA-256 of the arrays, one after the other", () => {
  const arrays = [Float32Array.of(1), Float32Array.of(2), Float32Array.of(3)] as const;
  const bytes = new Uint8Array(Float32Array.of(1, 2, 3).buffer);
  assertEquals(formerDigestOf(arrays), sha256(bytes).toString("hex"));
});
