import { assertEquals } from "@std/assert";
import { counted } from "./counted.ts";

Deno.test("one is singular, zero and many are plural", () => {
  assertEquals([0, 1, 2].map((count) => counted(count, "step")), ["0 steps", "1 step", "2 steps"]);
  assertEquals(counted(1, "entry", "entries"), "1 entry");
  assertEquals(counted(3n, "entry", "entries"), "3 entries");
});
