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
  const said = new Int32Array(values.length);
  dequantize(payload, said);
  return { payload, lost, said };
}

Deno.test("what is said and what is lost are the value, and half a scale is the most that is lost", () => {
  fc.assert(fc.property(numbers, (values) => {
    const { lost, said } = coded(values);
    for (let start = 0; start < values.length; start += 256) {
      const block = values.slice(start, start + 256);
      const scale = Math.max(...block.map(Math.abs)) / 127;
      block.forEach((value, index) => {
        assertEquals(said[start + index]! + lost[start + index]!, value);
        assertLessOrEqual(Math.abs(lost[start + index]!), scale / 2 * (1 + 2 ** -20) + 0.5);
      });
    }
  }));
});

Deno.test("numbers up to 127 come back as they were", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: -127, max: 127 })), (values) => {
    assertEquals([...coded(values).said], values);
  }));
});

Deno.test("a payload says the same wherever it is added", () => {
  fc.assert(fc.property(numbers, (values) => {
    const { payload, said } = coded(values);
    const total = new Float64Array(values.length).fill(5);
    addDequantized(payload, total);
    assertEquals([...total], [...said].map((value) => value + 5));
  }));
});

Deno.test("a known payload has the documented bytes", () => {
  const { payload } = coded([254, -127, 3, 0, 1]);
  // 2 as f32; 127, −64 and 2 (halves go to the even neighbour), 0, 0; three bytes of nothing.
  assertEquals([...new Uint8Array(payload.buffer)], [0, 0, 0, 64, 127, 192, 2, 0, 0, 0, 0, 0]);
});

Deno.test("a total beyond i32 is said as the largest multiple of 127 within, and the rest is lost", () => {
  const most = 2 ** 31 - 8;
  const { said, lost } = coded([3 * LARGEST, -3 * LARGEST, 0]);
  assertEquals([...said], [most, -most, 0]);
  assertEquals([...lost], [3 * LARGEST - most, most - 3 * LARGEST, 0]);
});

Deno.test("a block of 256 takes 260 bytes, what is left of one a scale and whole words", () => {
  assertEquals([0, 1, 4, 5, 256, 257, 512].map(int8Words), [0, 2, 2, 3, 65, 67, 130]);
  assert(coded([]).payload.length === 0);
});
