import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { lentStateBytes, optimizerHostBytes } from "../../shared/memory/optimizer_host_bytes.ts";
import { allocateNumbers, allocateState, floatsIn, integersIn, isSameMemory } from "./shared_numbers.ts";

Deno.test("the optimizer's part of a memory plan is what it allocates", () => {
  for (const elementCount of [64, 16384, 16448, 1_000_000]) {
    const layout = { elementCount };
    const states = [allocateState(layout), allocateState(layout)].flatMap((state) => Object.values(state));
    const all = [allocateNumbers(layout), ...states];
    const bytesOf = (memories: readonly WebAssembly.Memory[]) =>
      memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
    assertEquals(bytesOf(all), optimizerHostBytes(elementCount));
    assertEquals(bytesOf(Object.values(allocateState(layout))), lentStateBytes(elementCount));
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
