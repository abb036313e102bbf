import { assertEquals } from "@std/assert";
import type { Clock } from "../../shared/clock.ts";
import { measureEventLoopGap } from "./event_loop_gap.ts";

Deno.test("the longest time between two ticks is the gap, less the tick", async () => {
  let now = 0;
  const late = [0, 3, 70, 5];
  const stop = new AbortController();
  const clock: Clock = {
    now: () => now,
    sleep: (milliseconds) => {
      const extra = late.shift();
      if (extra === undefined) return new Promise(() => {});
      now += milliseconds + extra;
      return Promise.resolve();
    },
  };
  const gap = measureEventLoopGap(clock, 10, stop.signal);
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  assertEquals(gap.maxGapMs, 70);
  stop.abort();
});
