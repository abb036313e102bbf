import { assertEquals } from "@std/assert";
import { compareTimes } from "./timing.ts";

Deno.test("times are per run, exclude the final wait, and ignore a single slow round", async () => {
  let now = 0;
  let slowRuns = 1;
  const quick = () => void (now += 3);
  const slow = () => void (now += 40 + (slowRuns++ === 4 ? 500 : 0));
  const finish = () => Promise.resolve(void (now += 10));
  assertEquals(await compareTimes([quick, slow], finish, () => now), [3, 40]);
});
