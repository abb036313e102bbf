import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { allocateNumbers, allocateState, floatsIn, integersIn, isSameMemory } from "./shared_numbers.ts";

Deno.test("a state takes twelve bytes an element, as the plan of main memory says, and what fills pages", () => {
  for (const elementCount of [64, 16384, 16448, 1_000_000]) {
    const memories = Object.values(allocateState({ elementCount }));
    const bytes = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
    assertEquals([bytes >= 12 * elementCount, bytes < 12 * elementCount + 3 * 65536], [true, true]);
  }
});

Deno.test("numbers begin at zero, and more than a memory's are refused", () => {
  assertEquals(floatsIn(allocateNumbers({ elementCount: 64 }), 64), new Float32Array(64));
  const error = assertThrows(() => allocateNumbers({ elementCount: 2 ** 30 + 64 }), LoraFleetError);
  assertEquals([error.code, /may have 1073741824 elements/.test(error.message)], ["does_not_fit", true]);
});

Deno.test("the same memory is known again after it has been to another thread", () => {
  const of = () => integersIn(allocateNumbers({ elementCount: 64 }), 64);
  const [mine, other] = [of(), of()];
  mine.set([7, 8]);
  other.set([7, ~7]);
  const back = structuredClone(mine);
  assertEquals(back.buffer === mine.buffer, false);
  assertEquals([isSameMemory(mine, back), isSameMemory(mine, mine.subarray(0))], [true, true]);
  assertEquals([isSameMemory(mine, other), isSameMemory(mine, mine.slice())], [false, false]);
  assertEquals([[...mine.subarray(0, 2)], [...other.subarray(0, 2)]], [[7, 8], [7, ~7]]);
});
