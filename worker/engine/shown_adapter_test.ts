import { assertEquals } from "@std/assert";
import { ShownAdapter } from "./shown_adapter.ts";

Deno.test("an adapter is written once, and again after it or the memory that it was in has changed", () => {
  const written: number[] = [];
  const shown = new ShownAdapter({ write: ([first]) => void written.push(first!) });
  const [one, two] = [Float32Array.of(1), Float32Array.of(2)];
  const show = (adapter: Float32Array) => {
    shown.show(adapter.subarray(0));
    return written.splice(0);
  };
  assertEquals([show(one), show(one), show(two), show(two)], [[1], [], [2], []]);
  // A rollback, then an update into the same memory.
  assertEquals(show(one), [1]);
  shown.keepOnly(one);
  two[0] = 3;
  assertEquals([show(one), show(two)], [[], [3]]);
  shown.keepOnly(one);
  two[0] = 4;
  assertEquals(show(two), [4]);
  shown.keepOnly(null);
  assertEquals(show(two), [4]);
});
