import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { lentStateBytes, optimizerHostBytes } from "../../shared/memory/optimizer_host_bytes.ts";
import { allocateNumbers, allocateState, floatsIn, isShared } from "./shared_numbers.ts";

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

Deno.test("numbers begin at zero, are shared, and more than a memory's are refused", () => {
  const numbers = floatsIn(allocateNumbers({ elementCount: 64 }), 64);
  assertEquals([numbers, isShared(numbers), isShared(new Float32Array(1))], [
    new Float32Array(64),
    true,
    false,
  ]);
  const error = assertThrows(() => allocateNumbers({ elementCount: 2 ** 30 + 64 }), LoraFleetError);
  assertEquals([error.code, /may have 1073741824 elements/.test(error.message)], ["does_not_fit", true]);
});
