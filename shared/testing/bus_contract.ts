/** What every implementation of the bus has to do, as tests. */
import { setImmediate } from "node:timers";
import { assert, assertEquals, assertGreaterOrEqual, assertRejects, assertThrows } from "@std/assert";
import { systemClock } from "../clock.ts";
import { LoraFleetError } from "../errors.ts";
import type { Bus, BusErrorHandler, Lease, WorkItem } from "../bus/bus.ts";

/** One broker, with all that depends on whether its time is real. */
interface BusContractBroker {
  connect(onError?: BusErrorHandler): Promise<Bus>;
  /** Lets time pass. */
  pass(milliseconds: number): Promise<void>;
  /** The promise's outcome, where time has to pass before there is one. */
  during<T>(milliseconds: number, promise: Promise<T>): Promise<T>;
}

/** Long enough for a busy machine to answer within, short enough to be waited for. */
const ACK_WAIT_MS = 800;

const LEASE_MS = 2000;

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (data: Uint8Array) => new TextDecoder().decode(data);

async function assertCode(code: string, action: () => Promise<unknown>): Promise<void> {
  const error = await assertRejects(action, LoraFleetError);
  assertEquals(error.code, code, error.message);
}

/**
 * Runs every clause as a step of `t`. Names in the broker are made from a counter, so that all clauses may share one
 * broker.
 */
export async function runBusContract(t: Deno.TestContext, broker: BusContractBroker): Promise<void> {
  let names = 0;
  let name = "";
  const buses: Bus[] = [];
  const connect = async (onError?: BusErrorHandler) => {
    const bus = await broker.connect(onError);
    buses.push(bus);
    return bus;
  };
  const clause = async (title: string, run: () => Promise<void>) => {
    name = `contract${names++}`;
    await t.step(title, async () => {
      try {
        await run();
      } finally {
        await Promise.all(buses.splice(0).map((bus) => bus.close()));
      }
    });
  };
  /** Waits for what arrives by itself. */
  const until = async (isSo: () => boolean, what: string) => {
    for (let turn = 0; turn < 500 && !isSo(); turn++) await broker.pass(10);
    assert(isSo(), `never came: ${what}`);
  };
  const newQueue = async (bus: Bus, ackWaitMs = ACK_WAIT_MS) => {
    await bus.ensureQueue(name, [`${name}.work.>`], { ackWaitMs });
    return await bus.openQueue(name);
  };
  const pullSome = async (
    queue: { pull(timeoutMs: number): Promise<WorkItem | null> },
  ): Promise<WorkItem> => {
    const item = await broker.during(5000, queue.pull(5000));
    assert(item !== null, "an item should wait");
    return item;
  };

  await clause("a publisher may use the memory of a message again", async () => {
    const [sender, receiver] = [await connect(), await connect()];
    const seen: number[][] = [];
    receiver.subscribe(`${name}.memory`, ({ data }) => seen.push([...data]));
    await receiver.flush();
    const data = new Uint8Array(3);
    for (const value of [1, 2, 3]) {
      sender.publish(`${name}.memory`, data.fill(value));
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    await until(() => seen.length === 3, "the last message");
    assertEquals(seen, [[1, 1, 1], [2, 2, 2], [3, 3, 3]]);
  });

  await clause("messages of one publisher arrive in order", async () => {
    const [sender, receiver] = [await connect(), await connect()];
    const seen: number[] = [];
    receiver.subscribe(`${name}.a`, ({ data }) => void seen.push(Number(textOf(data))));
    await receiver.flush();
    for (let index = 0; index < 300; index++) sender.publish(`${name}.a`, bytes(`${index}`));
    await until(() => seen.length === 300, "300 messages");
    assertEquals(seen, Array.from({ length: 300 }, (_, index) => index));
  });

  await clause("wildcards select subjects", async () => {
    const bus = await connect();
    const seen: Record<string, string[]> = { star: [], rest: [], exact: [] };
    bus.subscribe(`${name}.*.x`, ({ subject }) => void seen["star"]!.push(subject));
    bus.subscribe(`${name}.>`, ({ subject }) => void seen["rest"]!.push(subject));
    bus.subscribe(`${name}.a.x`, ({ subject }) => void seen["exact"]!.push(subject));
    for (const tail of ["a.x", "b.x", "a.y", "a.x.z", "end"]) bus.publish(`${name}.${tail}`, bytes(""));
    await until(() => seen["rest"]!.length === 5, "five messages");
    assertEquals(seen["star"], [`${name}.a.x`, `${name}.b.x`]);
    assertEquals(seen["exact"], [`${name}.a.x`]);
  });

  await clause("bytes arrive as they were, also when there are none", async () => {
    const bus = await connect();
    const seen: Uint8Array[] = [];
    bus.subscribe(`${name}.a`, ({ data }) => void seen.push(data));
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    bus.publish(`${name}.a`, all);
    bus.publish(`${name}.a`, new Uint8Array());
    await until(() => seen.length === 2, "two messages");
    assertEquals(seen, [all, new Uint8Array()]);
    // Not a subclass: a `slice` has to be a copy.
    assertEquals(seen.map((data) => data.constructor), [Uint8Array, Uint8Array]);
  });

  await clause("a closed subscription hears nothing more", async () => {
    const [sender, receiver] = [await connect(), await connect()];
    const seen: string[] = [];
    const subscription = receiver.subscribe(`${name}.a`, ({ data }) => void seen.push(textOf(data)));
    receiver.subscribe(`${name}.end`, () => void seen.push("end"));
    await receiver.flush();
    sender.publish(`${name}.a`, bytes("1"));
    await until(() => seen.length === 1, "the first message");
    subscription.close();
    await receiver.flush();
    sender.publish(`${name}.a`, bytes("2"));
    sender.publish(`${name}.end`, bytes(""));
    await until(() => seen.includes("end"), "the last message");
    assertEquals(seen, ["1", "end"]);
  });

  await clause("a handler that throws is reported and goes on", async () => {
    const reports: string[] = [];
    const bus = await connect((message, thrown) => void reports.push(`${message}: ${thrown}`));
    const seen: string[] = [];
    bus.subscribe(`${name}.a`, ({ data }) => {
      if (textOf(data) === "bad") throw new Error("cannot bear it");
      seen.push(textOf(data));
    });
    bus.publish(`${name}.a`, bytes("bad"));
    bus.publish(`${name}.a`, bytes("good"));
    await until(() => seen.length === 1, "the second message");
    assertEquals(reports.length, 1);
    assert(reports[0]!.includes(`${name}.a`) && reports[0]!.includes("cannot bear it"), reports[0]);
  });

  await clause("a request is answered, also later than at once", async () => {
    const [asker, responder] = [await connect(), await connect()];
    responder.subscribe(`${name}.twice`, ({ data, respond }) => {
      void responder.flush().then(() => respond(bytes(`${textOf(data)}${textOf(data)}`)));
    });
    await responder.flush();
    const answers = await Promise.all(
      ["a", "b", "c"].map((text) => broker.during(100, asker.request(`${name}.twice`, bytes(text), 5000))),
    );
    assertEquals(answers.map(textOf), ["aa", "bb", "cc"]);
  });

  await clause("a request is heard by a responder that comes in time", async () => {
    const [asker, responder] = [await connect(), await connect()];
    const asked = asker.request(`${name}.late`, bytes("?"), 10_000);
    await broker.pass(120);
    responder.subscribe(`${name}.late`, ({ respond }) => respond(bytes("here")));
    assertEquals(textOf(await broker.during(1000, asked)), "here");
  });

  await clause("a request that nobody hears, or nobody answers, times out", async () => {
    const [asker, silent] = [await connect(), await connect()];
    await assertCode("timeout", () => broker.during(150, asker.request(`${name}.nobody`, bytes(""), 120)));
    silent.subscribe(`${name}.silent`, () => {});
    await silent.flush();
    await assertCode("timeout", () => broker.during(150, asker.request(`${name}.silent`, bytes(""), 120)));
  });

  await clause("an answer to a message that was no request has no effect", async () => {
    const bus = await connect((_message, thrown) => {
      throw thrown;
    });
    let heard = 0;
    bus.subscribe(`${name}.a`, ({ respond }) => {
      respond(bytes("to nobody"));
      heard++;
    });
    bus.publish(`${name}.a`, bytes(""));
    await until(() => heard === 1, "the message");
  });

  await clause("what is too large is refused by name", async () => {
    const bus = await connect();
    const tooLarge = new Uint8Array(bus.maxPayloadBytes + 1);
    await bus.ensureQueue(name, [`${name}.work.>`], { ackWaitMs: ACK_WAIT_MS });
    const error = assertThrows(() => bus.publish(`${name}.a`, tooLarge), LoraFleetError);
    assertEquals(error.code, "invalid_request");
    assert(error.message.includes(`${bus.maxPayloadBytes}`), error.message);
    await assertCode("invalid_request", () => bus.request(`${name}.a`, tooLarge, 100));
    await assertCode("invalid_request", async () => await bus.enqueue(`${name}.work.1`, tooLarge, "id"));

    let size = 0;
    bus.subscribe(`${name}.a`, ({ data }) => void (size = data.length));
    bus.publish(`${name}.a`, new Uint8Array(bus.maxPayloadBytes));
    await until(() => size === bus.maxPayloadBytes, "the largest message");
  });

  await clause("a queue hands out each item once, in order", async () => {
    const [producer, first, second] = [await connect(), await connect(), await connect()];
    const queues = [
      await newQueue(producer, 30_000),
      await first.openQueue(name),
      await second.openQueue(name),
    ];
    for (let index = 0; index < 6; index++) {
      await producer.enqueue(`${name}.work.${index}`, bytes(`${index}`), `${name}-${index}`);
    }
    const seen: string[] = [];
    for (let index = 0; index < 6; index++) {
      const item = await pullSome(queues[index % 3]!);
      assertEquals([item.subject, item.deliveryCount], [`${name}.work.${index}`, 1]);
      seen.push(textOf(item.data));
      await item.ack();
    }
    assertEquals(seen, ["0", "1", "2", "3", "4", "5"]);
    assertEquals(await broker.during(60, queues[0]!.pull(50)), null);
  });

  await clause("a pull waits for an item that comes in time", async () => {
    const bus = await connect();
    const queue = await newQueue(bus);
    const pulled = queue.pull(10_000);
    await broker.pass(60);
    await bus.enqueue(`${name}.work.1`, bytes("late"), `${name}-1`);
    const item = await broker.during(100, pulled);
    assertEquals(item === null ? null : textOf(item.data), "late");
    await item!.ack();
  });

  await clause("an item that nobody acknowledges comes again after ackWait", async () => {
    const bus = await connect();
    const queue = await newQueue(bus);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    const item = await pullSome(queue);
    assertEquals(await broker.during(ACK_WAIT_MS / 4, queue.pull(ACK_WAIT_MS / 4)), null);
    const again = await pullSome(queue);
    assertEquals([item.deliveryCount, again.deliveryCount, textOf(again.data)], [1, 2, "1"]);
    await again.ack();
    await broker.pass(2 * ACK_WAIT_MS);
    assertEquals(await broker.during(60, queue.pull(50)), null);
  });

  await clause("a released item comes again at once", async () => {
    const bus = await connect();
    const queue = await newQueue(bus, 60_000);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    (await pullSome(queue)).nak();
    const again = await pullSome(queue);
    assertEquals(again.deliveryCount, 2);
    await again.ack();
  });

  await clause("an extended item stays where it is", async () => {
    const bus = await connect();
    const queue = await newQueue(bus);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    const item = await pullSome(queue);
    for (let turn = 0; turn < 4; turn++) {
      await broker.pass(ACK_WAIT_MS / 2);
      item.working();
    }
    assertEquals(await broker.during(60, queue.pull(50)), null);
    const again = await pullSome(queue);
    assertEquals(again.deliveryCount, 2);
    await again.ack();
  });

  await clause("the same id is stored once, another queue's id has nothing to do with it", async () => {
    const bus = await connect();
    const queue = await newQueue(bus);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    await (await pullSome(queue)).ack();
    // Also after it was done: within two minutes it is known.
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    assertEquals(await broker.during(60, queue.pull(50)), null);
  });

  await clause("purging takes the items of matching subjects alone", async () => {
    const bus = await connect();
    const queue = await newQueue(bus);
    for (const subject of ["1.a", "1.b", "2.a"]) {
      await bus.enqueue(`${name}.work.${subject}`, bytes(subject), `${name}-${subject}`);
    }
    const held = await pullSome(queue);
    assertEquals(textOf(held.data), "1.a");
    await bus.purgeQueue(name, `${name}.work.1.*`);
    const item = await pullSome(queue);
    assertEquals(textOf(item.data), "2.a");
    await item.ack();
    // Nor does the one that somebody held.
    await broker.pass(2 * ACK_WAIT_MS);
    assertEquals(await broker.during(60, queue.pull(50)), null);
    await bus.enqueue(`${name}.work.1.c`, bytes("1.c"), `${name}-1.c`);
    const next = await pullSome(queue);
    assertEquals(textOf(next.data), "1.c");
    await next.ack();
    await assertCode("not_found", () => bus.purgeQueue(`${name}x`, `${name}.work.>`));
  });

  await clause("a queue that is made twice keeps its items and takes the new ackWait", async () => {
    const bus = await connect();
    await newQueue(bus, 60_000);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    const queue = await newQueue(bus, ACK_WAIT_MS);
    assertEquals((await pullSome(queue)).deliveryCount, 1);
    const again = await pullSome(queue);
    assertEquals(again.deliveryCount, 2);
    await again.ack();
  });

  await clause("a queue that is deleted, or was never there, is not found", async () => {
    const bus = await connect();
    const queue = await newQueue(bus);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    await bus.deleteQueue(name);
    await bus.deleteQueue(name);
    await assertCode("not_found", () => broker.during(1200, queue.pull(100)));
    await assertCode("not_found", () => bus.openQueue(name));
    assertEquals(await broker.during(60, (await newQueue(bus)).pull(50)), null);
  });

  await clause("a log grows only behind the entry that was expected to be the last", async () => {
    const [first, second] = [await connect(), await connect()];
    await first.ensureStream(name, `${name}.log`);
    assertEquals(await first.append(`${name}.log`, bytes("1"), 0), 1);
    await second.ensureStream(name, `${name}.log`);
    assertEquals(await second.append(`${name}.log`, bytes("2"), 1), 2);
    await assertCode("conflict", () => first.append(`${name}.log`, bytes("other 2"), 1));
    await assertCode("conflict", () => first.append(`${name}.log`, bytes("4"), 3));
    const entries = await first.readStream(name);
    assertEquals(entries.map(({ sequence, data }) => [sequence, textOf(data)]), [[1, "1"], [2, "2"]]);
  });

  await clause("a long log is read whole and in order", async () => {
    const bus = await connect();
    await bus.ensureStream(name, `${name}.log`);
    assertEquals(await bus.readStream(name), []);
    for (let last = 0; last < 70; last++) await bus.append(`${name}.log`, bytes(`${last}`), last);
    const entries = await bus.readStream(name);
    assertEquals(entries.map(({ sequence, data }) => [sequence, textOf(data)]), [
      ...Array.from({ length: 70 }, (_, last): [number, string] => [last + 1, `${last}`]),
    ]);
  });

  await clause("a deleted log begins anew", async () => {
    const bus = await connect();
    await bus.ensureStream(name, `${name}.log`);
    await bus.append(`${name}.log`, bytes("1"), 0);
    await bus.deleteStream(name);
    await bus.deleteStream(name);
    await assertCode("not_found", () => bus.readStream(name));
    await bus.ensureStream(name, `${name}.log`);
    assertEquals(await bus.append(`${name}.log`, bytes("1"), 0), 1);
  });

  const lease = (bus: Bus, holder: string, succeeds: readonly string[] = []) =>
    bus.acquireLease(name, { holder, succeeds, ttlMs: LEASE_MS });
  const leaseOf = async (bus: Bus, holder: string, succeeds: readonly string[] = []): Promise<Lease> => {
    const got = await lease(bus, holder, succeeds);
    assert(got !== null, `${holder} should get the lease`);
    return got;
  };

  await clause(
    "a lease has one holder; released, it goes to the next one at once, with a larger term",
    async () => {
      const [first, second] = [await connect(), await connect()];
      const held = await leaseOf(first, "a");
      assertEquals([held.isHeld(), await lease(second, "b"), await lease(first, "c")], [true, null, null]);
      await held.release();
      assertEquals(held.isHeld(), false);
      const next = await leaseOf(second, "b");
      assert(next.term > held.term, `${next.term} after ${held.term}`);
      await held.release();
      await assertCode("conflict", () => held.renew());
      assertEquals([next.isHeld(), await lease(first, "c")], [true, null]);
    },
  );

  await clause("of many who want a lease at once, one gets it", async () => {
    const buses = await Promise.all(Array.from({ length: 8 }, () => connect()));
    const began = systemClock.now();
    const got = await Promise.all(buses.map((bus, index) => lease(bus, `holder-${index}`)));
    const tookMs = systemClock.now() - began;
    assert(tookMs < LEASE_MS, `${tookMs} ms: somebody has waited for an answer that never came`);
    // On a machine that is busy enough the first one's time may be over before the last one has asked.
    assert(got.some((lease) => lease !== null));
    assert(got.filter((lease) => lease?.isHeld()).length <= 1);
  });

  await clause("a lease that is renewed goes on beyond its time, and its term stays", async () => {
    const [first, second] = [await connect(), await connect()];
    const held = await leaseOf(first, "a");
    for (let turn = 0; turn < 6; turn++) {
      await broker.pass(LEASE_MS / 4);
      await held.renew();
    }
    assertEquals([held.isHeld(), await lease(second, "b")], [true, null]);
    const { term } = held;
    await held.release();
    assert((await leaseOf(second, "b")).term > term);
  });

  await clause(
    "a holder that was silent for too long knows it, and finds out who has the lease now",
    async () => {
      const [first, second] = [await connect(), await connect()];
      const held = await leaseOf(first, "a");
      let next = await lease(second, "b");
      for (let turn = 0; turn < 20 && next === null; turn++) {
        await broker.pass(LEASE_MS / 4);
        // The holder has to know first.
        const wasHeld = held.isHeld();
        next = await lease(second, "b");
        assert(next === null || !wasHeld, "the lease has two holders");
      }
      assert(next !== null && next.term > held.term, "the lease never ended");
      await assertCode("conflict", () => held.renew());
      assertEquals([held.isHeld(), next.isHeld(), await lease(first, "a")], [false, true, null]);
      await next.renew();
      // Also when nobody has it any more: what was done meanwhile the old holder does not know.
      await next.release();
      await assertCode("conflict", () => held.renew());
    },
  );

  await clause("a holder that was silent goes on where nobody has had the lease since", async () => {
    const [first, second] = [await connect(), await connect()];
    const held = await leaseOf(first, "a");
    await broker.pass(2 * LEASE_MS);
    assertEquals(held.isHeld(), false);
    await held.renew();
    assertEquals([held.isHeld(), await lease(second, "b")], [true, null]);
  });

  await clause("an heir need not wait; whom it succeeds has lost the lease", async () => {
    const [first, second] = [await connect(), await connect()];
    const held = await leaseOf(first, "a");
    const next = await leaseOf(second, "b", ["a"]);
    assert(next.term > held.term);
    await assertCode("conflict", () => held.renew());
    assertEquals([next.isHeld(), await lease(first, "c", ["a"])], [true, null]);
  });

  await clause("closing sends what was published and ends everything else", async () => {
    const [leaving, staying] = [await connect(), await connect()];
    const seen: string[] = [];
    let heardAfter = 0;
    staying.subscribe(`${name}.a`, ({ data }) => void seen.push(textOf(data)));
    leaving.subscribe(`${name}.b`, () => void heardAfter++);
    await Promise.all([staying.flush(), leaving.flush()]);
    const asked = assertCode("aborted", () => leaving.request(`${name}.a`, bytes("?"), 60_000));
    leaving.publish(`${name}.a`, bytes("last words"));
    await leaving.close();
    await leaving.close();
    await asked;
    await until(() => seen.length === 2, "what was sent before");
    assertEquals(seen, ["?", "last words"]);
    staying.publish(`${name}.b`, bytes(""));
    await staying.flush();
    await broker.pass(20);
    assertEquals(heardAfter, 0);
    assertEquals(
      assertThrows(() => leaving.publish(`${name}.a`, bytes("")), LoraFleetError).code,
      "aborted",
    );
    assertEquals(assertThrows(() => leaving.subscribe(name, () => {}), LoraFleetError).code, "aborted");
    await assertCode("aborted", () => leaving.request(`${name}.a`, bytes(""), 100));
    await assertCode("aborted", () => leaving.ensureStream(name, `${name}.log`));
  });

  assertGreaterOrEqual(names, 20);
}
