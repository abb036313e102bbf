import { assertEquals } from "@std/assert";
import { threadsFor } from "./crew.ts";
import { tensorsWithin } from "./update_work.ts";

Deno.test("a small adapter and a machine with one core have one thread, a large one as many as there are cores, up to 8", () => {
  const large = 160_000_000;
  assertEquals([threadsFor(100_000, 16), threadsFor(large, 1), threadsFor(large, 0)], [1, 1, 1]);
  assertEquals([threadsFor(large, 4), threadsFor(large, 64), threadsFor(3_000_000, 16)], [4, 8, 2]);
});

Deno.test("the parts of tensors within a piece cover it once", () => {
  const starts = Float64Array.of(0, 64, 256, 320, 1024);
  const within = (from: number, to: number) => [...tensorsWithin(starts, from, to)];
  assertEquals(within(0, 1024), [[0, 0, 64], [1, 64, 256], [2, 256, 320], [3, 320, 1024]]);
  assertEquals(within(128, 320), [[1, 128, 256], [2, 256, 320]]);
  assertEquals(within(256, 384), [[2, 256, 320], [3, 320, 384]]);
  assertEquals(within(512, 1024), [[3, 512, 1024]]);
  assertEquals([...tensorsWithin(Float64Array.of(0, 64), 0, 64)], [[0, 0, 64]]);
});
