import { assertEquals } from "@std/assert";
import { pcg32 } from "../prng.ts";
import { subtractStart } from "./low_rank.ts";

const [rows, inFeatures, rank] = [7, 40, 3];
const random = pcg32(5);
const floats = (count: number) => Float32Array.from({ length: count }, () => random.normal());
const start = { rank, scale: 1.7, a: floats(rank * inFeatures), b: floats(rows * rank), inFeatures };
const weight = floats(rows * inFeatures);

Deno.test("each number is W − s·(B·A), summed in f64 in the order of the rank and rounded once", () => {
  const values = weight.slice();
  subtractStart(values, start);
  const expected = weight.map((value, at) => {
    let sum = 0;
    for (let k = 0; k < rank; k++) {
      sum += start.b[Math.floor(at / inFeatures) * rank + k]! * start.a[k * inFeatures + at % inFeatures]!;
    }
    return value - start.scale * sum;
  });
  assertEquals(values, expected);
});

Deno.test("pieces of any length, which begin in the middle of rows, have the bits of the whole", () => {
  const whole = weight.slice();
  subtractStart(whole, start);
  for (const length of [1, 13, 40, 64, 150, 279]) {
    const values = weight.slice();
    for (let first = 0; first < values.length; first += length) {
      subtractStart(values.subarray(first, first + length), start, first);
    }
    assertEquals(values, whole, `${length}`);
  }
});
