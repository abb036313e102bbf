import { assertEquals, assertMatch } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { allWorkSubject, workQueueName, workSubject } from "../../shared/protocol/subjects.ts";
import { keepWorking, WorkSource } from "./work_source.ts";

const JOB = "ftjob-a";
const never = () => new Promise<void>(() => {});

async function worldOf(options: { withQueue: boolean } = { withQueue: true }) {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const coordinator = broker.connect("coordinator");
  const ensure = () =>
    coordinator.ensureQueue(workQueueName(JOB), [allWorkSubject(JOB)], {
      ackWaitMs: LIMITS.microBatchAckWaitMs,
    });
  if (options.withQueue) await ensure();
  const log: string[] = [];
  const source = () =>
    new WorkSource({
      bus: broker.connect("worker"),
      jobId: JOB,
      clock,
      limits: LIMITS,
      signal: new AbortController().signal,
      log: (_, message) => void log.push(message),
    });
  const enqueue = (byte: number) =>
    coordinator.enqueue(workSubject(JOB, 1, 1), Uint8Array.of(byte), `id-${byte}-${clock.now()}`);
  return { clock, source, enqueue, ensure, log };
}

Deno.test("the item in hand stays in hand until it is handled", async () => {
  const { source, enqueue } = await worldOf();
  const work = source();
  await enqueue(1);
  await enqueue(2);
  const first = await work.take(never);
  assertEquals(first!.data, Uint8Array.of(1));
  assertEquals(await work.take(never), first);
  work.done();
  assertEquals((await work.take(never))!.data, Uint8Array.of(2));
});

Deno.test("a change ends the waiting and not the pull; a pull without an item ends by itself", async () => {
  const { source, enqueue, clock } = await worldOf();
  const work = source();
  assertEquals(await work.take(() => Promise.resolve()), null);
  await enqueue(1);
  assertEquals((await work.take(never))!.data, Uint8Array.of(1));
  work.done();
  const nothing = work.take(never);
  await clock.advance(LIMITS.pullTimeoutMs);
  assertEquals(await nothing, null);
});

Deno.test("letting go passes the item on at once, and the item of an open pull", async () => {
  const { source, enqueue } = await worldOf();
  const [one, other] = [source(), source()];
  await enqueue(1);
  await one.take(never);
  one.letGo();
  assertEquals((await other.take(never))!.data, Uint8Array.of(1));
  other.done();
  assertEquals(await one.take(() => Promise.resolve()), null);
  one.letGo();
  await enqueue(2);
  assertEquals((await other.take(never))!.data, Uint8Array.of(2));
});

Deno.test("an item that is put back repeatedly waits for its ack deadline", async () => {
  const { source, enqueue, clock } = await worldOf();
  const work = source();
  await enqueue(1);
  for (let time = 1; time <= 6; time++) {
    assertEquals((await work.take(never))!.deliveryCount, time);
    work.putBack();
  }
  const waiting = work.take(never);
  await clock.advance(LIMITS.pullTimeoutMs);
  assertEquals(await waiting, null);
});

Deno.test("a missing queue is looked for again", async () => {
  const { source, enqueue, ensure, clock, log } = await worldOf({ withQueue: false });
  const work = source();
  const nothing = work.take(never);
  await clock.advance(LIMITS.retryIntervalMs);
  assertEquals(await nothing, null);
  assertMatch(log[0]!, /cannot take a micro-batch: .*there is none/);
  await ensure();
  await enqueue(1);
  assertEquals((await work.take(never))!.data, Uint8Array.of(1));
});

Deno.test("an item with an extended deadline is not redelivered", async () => {
  const { source, enqueue, clock } = await worldOf();
  const [one, other] = [source(), source()];
  await enqueue(1);
  const item = await one.take(never);
  const stop = new AbortController();
  keepWorking(item!, { clock, limits: LIMITS }, stop.signal);
  await clock.advance(5 * LIMITS.microBatchAckWaitMs);
  const nothing = other.take(never);
  await clock.advance(LIMITS.pullTimeoutMs);
  assertEquals(await nothing, null);
  stop.abort();
  await clock.advance(LIMITS.microBatchAckWaitMs);
  assertEquals((await other.take(never))!.deliveryCount, 2);
});
