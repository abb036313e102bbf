import { assert, assertEquals, assertMatch } from "@std/assert";
import { randomId, randomText } from "./ids.ts";

Deno.test("ids have their prefix, 24 plain characters, and differ", () => {
  assertMatch(randomId("ftjob"), /^ftjob-[0-9A-Za-z]{24}$/);
  assertEquals(new Set(Array.from({ length: 100 }, () => randomId("file"))).size, 100);
});

Deno.test("every character occurs about equally often", () => {
  const counts = new Map<string, number>();
  for (const character of randomText(62_000)) counts.set(character, (counts.get(character) ?? 0) + 1);
  assertEquals(counts.size, 62);
  // Mean 1000, standard deviation 31.
  for (const count of counts.values()) assert(count > 750 && count < 1250, `${count}`);
});
