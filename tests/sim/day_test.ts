import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { soakHours } from "./day.ts";

Deno.test("hours under faults: the same digests, and no file stays open", async () => {
  const hours = await Array.fromAsync(soakHours(0.3, 100, 60));
  assertGreater(hours.length, 2);
  const [first, last] = [hours[1]!, hours.at(-1)!];
  assertEquals(last.openFiles, first.openFiles);
  assertLess(last.residentBytes, 2 * first.residentBytes);
  for (const { faultCount, commitCount } of hours) {
    assertGreater(faultCount, 3);
    assertGreater(commitCount, 59);
  }
});
