import { assertEquals, assertRejects } from "@std/assert";
import { pcg32 } from "../prng.ts";
import { createFakeClock } from "./fake_clock.ts";

Deno.test("sleepers wake in the order of their times, at their times", async () => {
  const clock = createFakeClock(1000);
  const random = pcg32(3);
  const woken: [number, number][] = [];
  const lengths = Array.from({ length: 200 }, () => random.below(50));
  lengths.forEach((length, index) => void clock.sleep(length).then(() => woken.push([clock.now(), index])));
  await clock.advance(100);
  const expected = lengths.map((length, index): [number, number] => [1000 + length, index])
    .sort(([a, i], [b, j]) => a - b || i - j);
  assertEquals(woken, expected);
  assertEquals(clock.now(), 1100);
});

Deno.test("what a sleeper starts is done before the next one wakes", async () => {
  const clock = createFakeClock();
  const seen: string[] = [];
  void (async () => {
    await clock.sleep(10);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    seen.push("first");
    await clock.sleep(5);
    seen.push("first again");
  })();
  void clock.sleep(11).then(() => seen.push("second"));
  await clock.advance(14);
  assertEquals(seen, ["first", "second"]);
  assertEquals(clock.nextWakeAt, 15);
  await clock.advance(1);
  assertEquals(seen, ["first", "second", "first again"]);
  assertEquals(clock.nextWakeAt, null);
});

Deno.test("an aborted sleep rejects with the signal's reason and leaves no sleeper", async () => {
  const clock = createFakeClock();
  const controller = new AbortController();
  const slept = clock.sleep(10, controller.signal);
  controller.abort(new Error("enough"));
  await assertRejects(() => slept, Error, "enough");
  assertEquals(clock.nextWakeAt, null);
  await assertRejects(() => clock.sleep(1, controller.signal), Error, "enough");
});
