import { assertEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { pauseUnless } from "./pause.ts";

const never = new Promise<never>(() => {});

Deno.test("a pause ends when its time is up", async () => {
  const clock = createFakeClock();
  const pause = pauseUnless(clock, 100, never, new AbortController().signal);
  await clock.advance(100);
  assertEquals(await pause, false);
});

Deno.test("a pause that ends early leaves no timer behind", async () => {
  const clock = createFakeClock();
  assertEquals(await pauseUnless(clock, 100, Promise.resolve(), new AbortController().signal), true);
  assertEquals(clock.nextWakeAt, null);
});

Deno.test("an abort ends the pause with its reason", async () => {
  const stop = new AbortController();
  const pause = pauseUnless(createFakeClock(), 100, never, stop.signal);
  stop.abort(new Error("stopped"));
  await assertRejects(() => pause, Error, "stopped");
});
