import { assertEquals } from "@std/assert";
import { createGradientBytes } from "./gradient_bytes.ts";

Deno.test("bytes count from a worker's first message on, once, in any order of messages", () => {
  const bytes = createGradientBytes();
  bytes.record("i-a", 100);
  bytes.record("i-b", 0);
  assertEquals(bytes.take(), 0);
  bytes.record("i-a", 150);
  bytes.record("i-b", 30);
  bytes.record("i-a", 120);
  bytes.record("i-a", 150);
  assertEquals(bytes.take(), 80);
  assertEquals(bytes.take(), 0);
  bytes.record("i-a", 151);
  assertEquals(bytes.take(), 1);
});
