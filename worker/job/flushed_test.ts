import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { flushed } from "./flushed.ts";

const broken = () => Promise.reject(new LoraFleetError("aborted", "the connection was interrupted"));

Deno.test("a connection that breaks during the flush is flushed again", async () => {
  const clock = createFakeClock();
  const outcomes = [broken, broken, () => Promise.resolve()];
  let count = 0;
  const bus = { flush: () => outcomes[Math.min(count++, 2)]!() };
  let isDone = false;
  const done = flushed([bus, { flush: () => Promise.resolve() }], clock, 100, new AbortController().signal);
  void done.then(() => isDone = true);
  await clock.advance(99);
  assertEquals([isDone, count], [false, 1]);
  await clock.advance(101);
  await done;
  assertEquals(count, 3);
});

Deno.test("a session that ends waits for no connection", async () => {
  const ended = new AbortController();
  const clock = createFakeClock();
  const done = flushed([{ flush: broken }], clock, 100, ended.signal);
  await clock.advance(10);
  ended.abort(new LoraFleetError("aborted", "the worker has left this job"));
  await assertRejects(() => done, LoraFleetError, "has left this job");
});
