import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { reasonToLeave, waitUntilLeaving } from "./leaving.ts";

const MINUTE = 60_000;

Deno.test("a worker without rules stays; each rule names its reason", () => {
  assertEquals(reasonToLeave({ idleMs: null, at: null }, 0, 1e15), null);
  assertEquals(reasonToLeave({ idleMs: MINUTE, at: null }, null, 1e15), null);
  assertEquals(reasonToLeave({ idleMs: MINUTE, at: null }, 5, MINUTE + 4), null);
  assertEquals(reasonToLeave({ idleMs: MINUTE, at: null }, 5, MINUTE + 5), "no job has run here for 1 min");
  assertEquals(
    reasonToLeave({ idleMs: null, at: MINUTE }, null, MINUTE),
    "it is past 1970-01-01T00:01:00.000Z, when this worker has to leave",
  );
});

Deno.test("only unbroken idle time counts, from the start on", async () => {
  const clock = createFakeClock();
  let idle = true;
  let reason: string | null | undefined;
  const { signal } = new AbortController();
  const rules = { idleMs: 10 * MINUTE, at: null };
  waitUntilLeaving({ clock, rules, isIdle: () => idle, signal }).then((found) => reason = found);
  await clock.advance(9 * MINUTE);
  idle = false;
  await clock.advance(60 * MINUTE);
  idle = true;
  await clock.advance(9 * MINUTE);
  assertEquals(reason, undefined);
  await clock.advance(2 * MINUTE);
  assertEquals(reason, "no job has run here for 10 min");
});

Deno.test("a worker that is ended otherwise has no reason", async () => {
  const clock = createFakeClock();
  const stopper = new AbortController();
  const rules = { idleMs: MINUTE, at: null };
  const waiting = waitUntilLeaving({ clock, rules, isIdle: () => true, signal: stopper.signal });
  await clock.advance(1000);
  stopper.abort();
  assertEquals(await waiting, null);
});
