import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { addDequantized, dequantize, int8Words, quantize } from "./int8_blocks.ts";

const LARGEST = 2 ** 31 - 1;
const i32 = fc.integer({ min: -LARGEST, max: LARGEST });
const numbers = fc.oneof(
  fc.array(i32, { maxLength: 700 }),
  fc.array(fc.integer({ min: -127, max: 127 }), { maxLength: 700 }),
);

function coded(values: readonly number[]) {
  const lost = Float64Array.from(values);
  // Memory that held something else.
  const payload = new Int32Array(int8Words(values.length)).fill(-1);
  quantize(lost, payload);
  const decoded = new Int32Array(values.length);
  dequantize(payload, decoded);
  return { payload, lost, decoded };
}

Deno.test("payload and rounding error add up to the value, and the error is at most half a scale", () => {
  fc.assert(fc.property(numbers, (values) => {
    const { lost, decoded } = coded(values);
    for (let start = 0; start < values.length; start += 256) {
      const block = values.slice(start, start + 256);
      const scale = Math.max(...block.map(Math.abs)) / 127;
      block.forEach((value, index) => {
        assertEquals(decoded[start + index]! + lost[start + index]!, value);
        assertLessOrEqual(Math.abs(lost[start + index]!), scale / 2 * (1 + 2 ** -20) + 0.5);
      });
    }
  }));
});

Deno.test("numbers up to 127 come back as they were", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: -127, max: 127 })), (values) => {
    assertEquals([...coded(values).decoded], values);
  }));
});

Deno.test("adding a payload gives the same as writing it", () => {
  fc.assert(fc.property(numbers, (values) => {
    const { payload, decoded } = coded(values);
    const total = new Float64Array(values.length).fill(5);
    addDequantized(payload, total);
    assertEquals([...total], [...decoded].map((value) => value + 5));
  }));
});

Deno.test("a known payload has the documented bytes", () => {
  const { payload } = coded([254, -127, 3, 0, 1]);
  // 2 as f32; 127, −64 and 2 (halves go to the even neighbour), 0, 0; three bytes of nothing.
  assertEquals([...new Uint8Array(payload.buffer)], [0, 0, 0, 64, 127, 192, 2, 0, 0, 0, 0, 0]);
});

Deno.test("a total beyond i32 is clipped to the largest multiple of 127 within, and the rest is the error", () => {
  const most = 2 ** 31 - 8;
  const { decoded, lost } = coded([3 * LARGEST, -3 * LARGEST, 0]);
  assertEquals([...decoded], [most, -most, 0]);
  assertEquals([...lost], [3 * LARGEST - most, most - 3 * LARGEST, 0]);
});

Deno.test("a block of 256 takes 260 bytes, a partial one a scale and whole words", () => {
  assertEquals([0, 1, 4, 5, 256, 257, 512].map(int8Words), [0, 2, 2, 3, 65, 67, 130]);
  assert(coded([]).payload.length === 0);
});
