import { assertEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { unlessAborted, withDeadline } from "./abortable.ts";

const never = new Promise<never>(() => {});

Deno.test("the outcome counts until the signal aborts", async () => {
  const stop = new AbortController();
  assertEquals(await unlessAborted(Promise.resolve(3), stop.signal), 3);
  const waiting = unlessAborted(never, stop.signal);
  stop.abort(new Error("enough"));
  await assertRejects(() => waiting, Error, "enough");
  await assertRejects(() => unlessAborted(Promise.reject(new Error("late")), stop.signal), Error, "enough");
});

Deno.test("work that takes too long fails, and its signal aborts", async () => {
  const clock = createFakeClock();
  const signals: AbortSignal[] = [];
  const outer = new AbortController().signal;
  const late = withDeadline(clock, 100, "reading", outer, (signal) => {
    signals.push(signal);
    return never;
  });
  const check = assertRejects(() => late, LoraFleetError, "reading took longer than 100 ms");
  await clock.advance(100);
  await check;
  assertEquals(signals[0]!.aborted, true);
});

Deno.test("a deadline that is met leaves no timer behind", async () => {
  const clock = createFakeClock();
  assertEquals(
    await withDeadline(clock, 100, "reading", new AbortController().signal, () => Promise.resolve(5)),
    5,
  );
  assertEquals(clock.nextWakeAt, null);
});
