import { assertEquals } from "@std/assert";
import { durationsOf } from "./submit_clock.ts";

Deno.test("durations come in milliseconds; what a broken clock shows is no duration", () => {
  const good = [5_000_000n, 105_000_000n];
  const backwards = [9_000_000n, 8_000_000n];
  const zeros = [0n, 0n];
  const absurd = [0n, 2n ** 62n];
  const durations = durationsOf(BigUint64Array.from([good, backwards, zeros, absurd, good].flat()));
  assertEquals(durations, [100, null, null, null, 100]);
  assertEquals(durationsOf(new BigUint64Array(0)), []);
});
