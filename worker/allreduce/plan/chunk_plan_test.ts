import { assertEquals, assertGreaterOrEqual, assertLessOrEqual, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LoraFleetError } from "../../../shared/errors.ts";
import { FRAME_HEADER_BYTES } from "../../../shared/protocol/tensor_frame.ts";
import { predictedBytes } from "../all_reduce_fixture.ts";
import { chunkCountOf, chunkPlan, chunkRange, defaultChunkBytes } from "./chunk_plan.ts";

const MIB = 2 ** 20;

Deno.test("two workers with the default: 512 KiB, 8 MiB in flight each way", () => {
  assertEquals(chunkPlan(2, MIB / 2, 8 * MIB), { chunkElements: MIB / 8, windowChunks: 16 });
});

Deno.test("chunks grow with the gradient, from 512 KiB to 2 MiB", () => {
  const kib = (mib: number, workers: number) => defaultChunkBytes(mib * MIB / 4, workers) / 1024;
  assertEquals([0, 4, 16, 32, 64, 1024].map((mib) => kib(mib, 2)), [512, 512, 512, 1024, 2048, 2048]);
  assertEquals([2, 4, 8, 64].map((workers) => kib(134, workers)), [2048, 2048, 1024, 512]);
  // 1 MiB is a broker's default max_payload.
  assertEquals(4 * chunkPlan(2, defaultChunkBytes(16 * MIB, 2), MIB).chunkElements, MIB - 256);
});

Deno.test("a message fits the broker, and what is in flight to one worker stays within 48 MiB", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 3000 }),
    fc.integer({ min: 256, max: 2 * MIB }),
    fc.integer({ min: 4096, max: 8 * MIB }),
    (workerCount, chunkBytes, maxPayloadBytes) => {
      const { chunkElements, windowChunks } = chunkPlan(workerCount, chunkBytes, maxPayloadBytes);
      assertEquals(chunkElements % 64, 0);
      assertLessOrEqual(4 * chunkElements, chunkBytes);
      assertLessOrEqual(4 * chunkElements + FRAME_HEADER_BYTES, maxPayloadBytes);
      assertGreaterOrEqual(windowChunks, 4);
      const inFlight = 2 * 4 * chunkElements * windowChunks;
      assertLessOrEqual(inFlight, 16 * MIB);
      assertLessOrEqual((workerCount - 1) * inFlight, 48 * MIB);
    },
  ));
});

Deno.test("chunks cover a range once", () => {
  fc.assert(fc.property(fc.nat({ max: 5000 }), fc.integer({ min: 1, max: 20 }), (count, blocks) => {
    const range = { offset: 640, count };
    let end = 640;
    for (let chunk = 0; chunk < chunkCountOf(range, 64 * blocks); chunk++) {
      const place = chunkRange(range, 64 * blocks, chunk);
      assertEquals(place.offset, end);
      assertGreaterOrEqual(place.count, 1);
      end += place.count;
    }
    assertEquals(end, 640 + count);
  }));
});

Deno.test("chunks that are too small or too large are refused", () => {
  for (const chunkBytes of [0, 255, 2 * MIB + 1, NaN]) {
    assertEquals(
      assertThrows(() => chunkPlan(2, chunkBytes, MIB), LoraFleetError).code,
      "invalid_request",
    );
  }
});

Deno.test("a fleet of W sends W gradients, a worker alone none", () => {
  assertEquals([1, 2, 3, 8].map((workers) => predictedBytes(1000, workers)), [0, 8000, 12_000, 32_000]);
});
