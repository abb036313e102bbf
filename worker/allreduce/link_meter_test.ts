import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { Clock } from "../../shared/clock.ts";
import { LinkMeter } from "./link_meter.ts";

function meterAndTime() {
  let now = 1000;
  const clock: Clock = { now: () => now, sleep: () => Promise.reject(new Error("nothing sleeps here")) };
  const meter = new LinkMeter(clock);
  /** So many frames of 1 MB, one every few milliseconds. */
  const receive = (frames: number, everyMs: number) => {
    for (let frame = 0; frame < frames; frame++) {
      now += everyMs;
      meter.received(1e6);
    }
  };
  const round = (frames: number, everyMs: number) => {
    meter.beginRound();
    receive(frames, everyMs);
    meter.endRound();
  };
  return { meter, receive, round, pause: (ms: number) => now += ms };
}

Deno.test("nothing is known before a round that is long enough", () => {
  const { meter, round } = meterAndTime();
  assertEquals(meter.bytesPerSecond, null);
  round(9, 10);
  assertEquals(meter.bytesPerSecond, null);
});

Deno.test("a burst counts, the wait for others does not", () => {
  const { meter, receive, pause } = meterAndTime();
  meter.beginRound();
  pause(2000);
  receive(50, 10);
  pause(5000);
  receive(1, 1);
  meter.endRound();
  assertAlmostEquals(meter.bytesPerSecond!, 100e6, 1e-6);
});

Deno.test("a link that receives steadily is as fast as that, and rounds are smoothed", () => {
  const { meter, round } = meterAndTime();
  round(100, 20);
  assertAlmostEquals(meter.bytesPerSecond!, 50e6, 1e-6);
  round(100, 10);
  assertAlmostEquals(meter.bytesPerSecond!, 62.5e6, 1e-6);
  for (let more = 0; more < 30; more++) round(100, 10);
  assertAlmostEquals(meter.bytesPerSecond!, 100e6, 1e5);
  // Too short to say anything.
  round(1, 1);
  assertAlmostEquals(meter.bytesPerSecond!, 100e6, 1e5);
});
