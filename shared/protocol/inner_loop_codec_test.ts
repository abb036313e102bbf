import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LoraFleetError } from "../errors.ts";
import { decodeInnerLoop, encodeInnerLoop, type InnerLoop } from "./inner_loop_codec.ts";

const INNER_LOOP: InnerLoop = {
  innerSteps: [
    { number: 2 ** 40, microBatchCount: 8, learningRate: 1e-4 / 3 },
    { number: 2 ** 40 + 8, microBatchCount: 1, learningRate: 0 },
  ],
};

Deno.test("an inner loop round-trips, every bit of its learning rates included, and is small", () => {
  assertEquals(decodeInnerLoop(encodeInnerLoop(INNER_LOOP)), INNER_LOOP);
  const innerStep = fc.record({
    number: fc.maxSafeNat(),
    microBatchCount: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    learningRate: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
  });
  fc.assert(
    fc.property(fc.array(innerStep, { minLength: 1, maxLength: 20 }), (innerSteps) => {
      const bytes = encodeInnerLoop({ innerSteps });
      assertEquals(bytes.length, 16 + 20 * innerSteps.length);
      assertEquals(decodeInnerLoop(bytes), { innerSteps });
    }),
    { seed: 1 },
  );
});

function refused(bytes: Uint8Array, says: string): void {
  assertEquals(assertThrows(() => decodeInnerLoop(bytes), LoraFleetError, says).code, "corrupt");
}

Deno.test("any damage is noticed, as is any inner loop that our encoder would not write", () => {
  const good = encodeInnerLoop(INNER_LOOP);
  for (let at = 0; at < good.length; at++) {
    const damaged = good.slice();
    damaged[at]! ^= 1 << at % 8;
    assertThrows(() => decodeInnerLoop(damaged), LoraFleetError);
  }
  refused(good.subarray(0, 15), "the header has 16");
  refused(good.subarray(0, 55), "asks for 56");
  refused(encodeInnerLoop({ innerSteps: [] }), "innerSteps");
  const [first] = INNER_LOOP.innerSteps;
  for (
    const [change, says] of [
      [{ number: -1 }, "innerSteps.0.number"],
      [{ number: 0.5 }, "innerSteps.0.number"],
      [{ microBatchCount: 0 }, "innerSteps.0.microBatchCount"],
      [{ learningRate: NaN }, "innerSteps.0.learningRate"],
      [{ learningRate: Infinity }, "innerSteps.0.learningRate"],
      [{ learningRate: -1e-4 }, "innerSteps.0.learningRate"],
    ] as const
  ) refused(encodeInnerLoop({ innerSteps: [{ ...first!, ...change }] }), says);
});
