import { assertEquals } from "@std/assert";
import { compareTimes } from "./timing.ts";

Deno.test("times are of one run, without the wait at its end, and a single slow round does not count", async () => {
  let now = 0;
  let slowRuns = 1;
  const quick = () => void (now += 3);
  const slow = () => void (now += 40 + (slowRuns++ === 4 ? 500 : 0));
  const finish = () => Promise.resolve(void (now += 10));
  assertEquals(await compareTimes([quick, slow], finish, () => now), [3, 40]);
});
