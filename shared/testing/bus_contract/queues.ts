/** The contract of work queues. */
import { assertEquals } from "@std/assert";
import { ACK_WAIT_MS, assertCode, bytes, type Clauses, textOf } from "./clause.ts";

export const QUEUE_CLAUSES: Clauses = {
  "a queue delivers each item once, in order": async ({ name, connect, broker, newQueue, pullItem }) => {
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
      const item = await pullItem(queues[index % 3]!);
      assertEquals([item.subject, item.deliveryCount], [`${name}.work.${index}`, 1]);
      seen.push(textOf(item.data));
      await item.ack();
    }
    assertEquals(seen, ["0", "1", "2", "3", "4", "5"]);
    assertEquals(await broker.during(60, queues[0]!.pull(50)), null);
  },

  "a pull waits for an item that is enqueued before the timeout": async (
    { name, connect, broker, newQueue },
  ) => {
    const bus = await connect();
    const queue = await newQueue(bus);
    const pulled = queue.pull(10_000);
    await broker.pass(60);
    await bus.enqueue(`${name}.work.1`, bytes("late"), `${name}-1`);
    const item = await broker.during(100, pulled);
    assertEquals(item === null ? null : textOf(item.data), "late");
    await item!.ack();
  },

  "an unacknowledged item is redelivered after ackWait": async (
    { name, connect, broker, newQueue, pullItem },
  ) => {
    const bus = await connect();
    const queue = await newQueue(bus);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    const item = await pullItem(queue);
    assertEquals(await broker.during(ACK_WAIT_MS / 4, queue.pull(ACK_WAIT_MS / 4)), null);
    const again = await pullItem(queue);
    assertEquals([item.deliveryCount, again.deliveryCount, textOf(again.data)], [1, 2, "1"]);
    await again.ack();
    await broker.pass(2 * ACK_WAIT_MS);
    assertEquals(await broker.during(60, queue.pull(50)), null);
  },

  "nak redelivers an item at once": async ({ name, connect, newQueue, pullItem }) => {
    const bus = await connect();
    const queue = await newQueue(bus, 60_000);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    (await pullItem(queue)).nak();
    const again = await pullItem(queue);
    assertEquals(again.deliveryCount, 2);
    await again.ack();
  },

  "working restarts ackWait": async ({ name, connect, broker, newQueue, pullItem }) => {
    const bus = await connect();
    const queue = await newQueue(bus);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    const item = await pullItem(queue);
    for (let turn = 0; turn < 4; turn++) {
      await broker.pass(ACK_WAIT_MS / 2);
      item.working();
    }
    assertEquals(await broker.during(60, queue.pull(50)), null);
    const again = await pullItem(queue);
    assertEquals(again.deliveryCount, 2);
    await again.ack();
  },

  "an id is stored once, also after its item was acknowledged": async (
    { name, connect, broker, newQueue, pullItem },
  ) => {
    const bus = await connect();
    const queue = await newQueue(bus);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    await (await pullItem(queue)).ack();
    // Ids are remembered for two minutes.
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    assertEquals(await broker.during(60, queue.pull(50)), null);
  },

  "a purge removes the items of matching subjects alone": async (
    { name, connect, broker, newQueue, pullItem },
  ) => {
    const bus = await connect();
    const queue = await newQueue(bus);
    for (const subject of ["1.a", "1.b", "2.a"]) {
      await bus.enqueue(`${name}.work.${subject}`, bytes(subject), `${name}-${subject}`);
    }
    const held = await pullItem(queue);
    assertEquals(textOf(held.data), "1.a");
    await bus.purgeQueue(name, `${name}.work.1.*`);
    const item = await pullItem(queue);
    assertEquals(textOf(item.data), "2.a");
    await item.ack();
    // Nor is the item redelivered that was held during the purge.
    await broker.pass(2 * ACK_WAIT_MS);
    assertEquals(await broker.during(60, queue.pull(50)), null);
    await bus.enqueue(`${name}.work.1.c`, bytes("1.c"), `${name}-1.c`);
    const next = await pullItem(queue);
    assertEquals(textOf(next.data), "1.c");
    await next.ack();
    await assertCode("not_found", () => bus.purgeQueue(`${name}x`, `${name}.work.>`));
  },

  "ensureQueue on an existing queue keeps its items and applies the new ackWait": async (
    { name, connect, newQueue, pullItem },
  ) => {
    const bus = await connect();
    await newQueue(bus, 60_000);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    const queue = await newQueue(bus, ACK_WAIT_MS);
    assertEquals((await pullItem(queue)).deliveryCount, 1);
    const again = await pullItem(queue);
    assertEquals(again.deliveryCount, 2);
    await again.ack();
  },

  "a deleted or unknown queue is not found": async ({ name, connect, broker, newQueue }) => {
    const bus = await connect();
    const queue = await newQueue(bus);
    await bus.enqueue(`${name}.work.1`, bytes("1"), `${name}-1`);
    await bus.deleteQueue(name);
    await bus.deleteQueue(name);
    await assertCode("not_found", () => broker.during(1200, queue.pull(100)));
    await assertCode("not_found", () => bus.openQueue(name));
    assertEquals(await broker.during(60, (await newQueue(bus)).pull(50)), null);
  },
};
