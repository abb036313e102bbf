import { assertEquals } from "@std/assert";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { Drain, maxDrainMs } from "./drain.ts";

const JOB = { jobId: "ftjob-a", startId: "s-1" };

function loaded(elementCount: number) {
  const layout = { tensorCount: 1, elementCount, parameterCount: elementCount };
  return { phase: "loaded" as const, ...JOB, layout, committed: { step: 1, digest: "a".repeat(64) } };
}

Deno.test("a worker without a loaded job leaves at once, one in an attempt may finish it", () => {
  assertEquals(maxDrainMs(null, false, LIMITS), 0);
  assertEquals(maxDrainMs({ phase: "loading", ...JOB }, false, LIMITS), 0);
  assertEquals(maxDrainMs(loaded(64), true, LIMITS), LIMITS.drainMs);
});

Deno.test("a worker in no attempt waits for peers that fetch its state, at most as long as for an attempt", () => {
  const limits = { ...LIMITS, drainMs: 1e12 };
  const small = maxDrainMs(loaded(64), false, limits);
  assertEquals(0 < small && small < maxDrainMs(loaded(1e9), false, limits), true);
  assertEquals(maxDrainMs(loaded(1e9), false, { ...LIMITS, drainMs: 1 }), 1);
});

Deno.test("a drain begins once; it is over when the worker is dispensable, the coordinator silent, or the time up", async () => {
  const clock = createFakeClock(5);
  const drain = new Drain(clock, LIMITS);
  const busy = { job: loaded(64), mayLeave: (_hasOthers: boolean) => false };
  const isOver = (host = busy, isSilent = false) => drain.isOver(host, true, isSilent);
  assertEquals([drain.since, isOver(busy, true)], [null, false]);
  drain.start();
  await clock.advance(10);
  drain.start();
  await drain.started;
  assertEquals([drain.since, isOver()], [5, false]);
  assertEquals([isOver({ ...busy, mayLeave: () => true }), isOver(busy, true)], [true, true]);
  await clock.advance(LIMITS.drainMs);
  assertEquals(isOver(), true);
});
