import { assertEquals } from "@std/assert";
import { createGradientBytes } from "./gradient_bytes.ts";

Deno.test("bytes count from a worker's first word on, once, in whatever order its words come", () => {
  const bytes = createGradientBytes();
  bytes.told("i-a", 100);
  bytes.told("i-b", 0);
  assertEquals(bytes.take(), 0);
  bytes.told("i-a", 150);
  bytes.told("i-b", 30);
  bytes.told("i-a", 120);
  bytes.told("i-a", 150);
  assertEquals(bytes.take(), 80);
  assertEquals(bytes.take(), 0);
  bytes.told("i-a", 151);
  assertEquals(bytes.take(), 1);
});
