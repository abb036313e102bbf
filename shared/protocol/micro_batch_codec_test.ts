import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LoraFleetError } from "../errors.ts";
import type { MicroBatch } from "../data/packing/micro_batch.ts";
import { decodeMicroBatch, encodeMicroBatch } from "./micro_batch_codec.ts";

/** Segments of 1–5 tokens. */
const batches: fc.Arbitrary<MicroBatch> = fc.array(
  fc.array(
    fc.tuple(fc.nat(2 ** 31 - 1), fc.oneof(fc.constant(-100), fc.nat(2 ** 31 - 1))),
    { minLength: 1, maxLength: 5 },
  ),
  { minLength: 1, maxLength: 6 },
).map((segments) => {
  const starts = segments.map((_, i) => segments.slice(0, i).reduce((sum, { length }) => sum + length, 0));
  return {
    tokens: Uint32Array.from(segments.flat(), ([token]) => token),
    labels: Int32Array.from(segments.flat(), ([, label]) => label),
    positions: Uint32Array.from(segments.flatMap((segment) => segment.map((_, t) => t))),
    segmentStarts: Uint32Array.from(segments.flatMap((segment, i) => segment.map(() => starts[i]!))),
  };
});

const SMALL: MicroBatch = {
  tokens: Uint32Array.of(7, 8, 9),
  labels: Int32Array.of(8, -100, -100),
  positions: Uint32Array.of(0, 1, 0),
  segmentStarts: Uint32Array.of(0, 0, 2),
};

function corruptMessage(body: () => unknown): string {
  const error = assertThrows(body, LoraFleetError);
  assertEquals(error.code, "corrupt");
  return error.message;
}

Deno.test("a micro-batch round-trips at any byte offset", () => {
  fc.assert(fc.property(batches, fc.nat(7), (batch, shift) => {
    const bytes = encodeMicroBatch(batch);
    const shifted = new Uint8Array(bytes.length + shift);
    shifted.set(bytes, shift);
    assertEquals(decodeMicroBatch(shifted.subarray(shift)), batch);
  }));
});

Deno.test("the layout is fixed", () => {
  const view = new DataView(encodeMicroBatch(SMALL).buffer);
  const words = Array.from({ length: view.byteLength / 4 }, (_, i) => view.getInt32(4 * i, true));
  assertEquals(words.toSpliced(2, 1), [0x424d464c, 1, 3, 2, 0, 2, 7, 8, 9, 8, -100, -100]);
});

Deno.test("weights follow the labels, in a version of their own, and are positive", () => {
  const weighted = { ...SMALL, weights: Float32Array.of(0.5, 0.5, 3) };
  const bytes = encodeMicroBatch(weighted);
  assertEquals([bytes[4], bytes.length], [2, encodeMicroBatch(SMALL).length + 12]);
  assertEquals(decodeMicroBatch(bytes), weighted);
  for (const weights of [Float32Array.of(1, 0, 1), Float32Array.of(1, NaN, 1), Float32Array.of(1, -1, 1)]) {
    assertStringIncludes(corruptMessage(() => encodeMicroBatch({ ...SMALL, weights })), "above 0 is needed");
  }
  assertStringIncludes(
    corruptMessage(() => encodeMicroBatch({ ...SMALL, weights: Float32Array.of(1) })),
    "1 weights",
  );
  corruptMessage(() => decodeMicroBatch(bytes.subarray(0, -12)));
});

Deno.test("a changed bit and a missing or additional byte are noticed", () => {
  fc.assert(fc.property(batches, fc.nat(), fc.nat(7), (batch, at, bit) => {
    const bytes = encodeMicroBatch(batch);
    const changed = bytes.slice();
    changed[at % bytes.length]! ^= 1 << bit;
    corruptMessage(() => decodeMicroBatch(changed));
    corruptMessage(() => decodeMicroBatch(bytes.subarray(0, at % bytes.length)));
    corruptMessage(() => decodeMicroBatch(Uint8Array.of(...bytes, 0)));
  }));
});

Deno.test("a header with a false size allocates no memory", () => {
  const bytes = encodeMicroBatch(SMALL);
  new DataView(bytes.buffer).setUint32(12, 0xffff_ffff, true);
  assertStringIncludes(corruptMessage(() => decodeMicroBatch(bytes)), "header asks for");
});

Deno.test("a different version is named in the error", () => {
  const bytes = encodeMicroBatch(SMALL);
  bytes[4] = 3;
  assertStringIncludes(corruptMessage(() => decodeMicroBatch(bytes)), "version 3");
});

Deno.test("ids beyond the vocabulary", () => {
  const bytes = encodeMicroBatch(SMALL);
  assertEquals(decodeMicroBatch(bytes, { vocabularySize: 10 }), SMALL);
  assertStringIncludes(corruptMessage(() => decodeMicroBatch(bytes, { vocabularySize: 9 })), "token id 9");
  const beyond = encodeMicroBatch({ ...SMALL, labels: Int32Array.of(50, -100, -100) });
  assertStringIncludes(corruptMessage(() => decodeMicroBatch(beyond, { vocabularySize: 10 })), "label 50");
});

const CONTRADICTIONS: readonly [string, Partial<MicroBatch>, string][] = [
  ["no tokens", {
    tokens: new Uint32Array(),
    labels: new Int32Array(),
    positions: new Uint32Array(),
    segmentStarts: new Uint32Array(),
  }, "no tokens"],
  ["lengths that differ", { positions: Uint32Array.of(0, 1) }, "3 tokens, but 2 positions"],
  ["a position off by one", { positions: Uint32Array.of(0, 1, 1) }, "token 2 has position 1"],
  ["a segment that begins later", { segmentStarts: Uint32Array.of(0, 2, 2) }, "begins at 2"],
  ["a segment that decreases", {
    positions: Uint32Array.of(0, 0, 2),
    segmentStarts: Uint32Array.of(0, 1, 0),
  }, "begins at 0, after"],
  ["a negative label", { labels: Int32Array.of(-1, -100, -100) }, "label -1"],
];

for (const [name, change, words] of CONTRADICTIONS) {
  Deno.test(`not encoded: ${name}`, () => {
    assertStringIncludes(corruptMessage(() => encodeMicroBatch({ ...SMALL, ...change })), words);
  });
}

Deno.test("segments that overlap or lie outside, under a checksum that matches", async () => {
  const { crc32 } = await import("node:zlib");
  for (
    const [at, value, words] of [[20, 1, "first segment"], [24, 0, "segment 0"], [
      24,
      3,
      "segment 1",
    ]] as const
  ) {
    const bytes = encodeMicroBatch(SMALL);
    const view = new DataView(bytes.buffer);
    view.setUint32(at, value, true);
    view.setUint32(8, crc32(bytes.subarray(12)), true);
    assertStringIncludes(corruptMessage(() => decodeMicroBatch(bytes)), words);
  }
});
