/** Work queues and logs of the broker in memory: what JetStream does for `nats_bus.ts`, in plain data and the clock's time. */
import type { Clock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import type { BusStore, StreamEntry, WorkItem } from "../bus/bus.ts";
import { assertPayload } from "../bus/bus_checks.ts";
import { subjectMatches } from "./subject_tree.ts";

/** What a client's calls depend on. */
interface Client {
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal;
  readonly assertOpen: (attempted: string) => void;
  readonly maxPayloadBytes: number;
}

interface StoredItem {
  readonly subject: string;
  readonly data: Uint8Array;
  deliveryCount: number;
  state: "waiting" | "delivered" | "gone";
  /** Ends the wait for an acknowledgement. */
  handled: AbortController | null;
}

interface Queue {
  subjects: readonly string[];
  ackWaitMs: number;
  /** In the order in which they are delivered next. */
  readonly waiting: StoredItem[];
  readonly items: Set<StoredItem>;
  readonly pulls: ((item: StoredItem) => void)[];
  /** When an id was stored. */
  readonly ids: Map<string, number>;
  readonly deleted: AbortController;
}

interface Log {
  subject: string;
  readonly entries: StreamEntry[];
}

/** A reason of its own for each abort would cost a stack trace. */
const HANDLED = new LoraFleetError("aborted", "the item or the pull is done with");

const DUPLICATE_WINDOW_MS = 120_000;

export function createMemoryStore(clock: Clock): { client(client: Client): Omit<BusStore, "acquireLease"> } {
  const queues = new Map<string, Queue>();
  const logs = new Map<string, Log>();

  function queueNamed(name: string, attempted: string): Queue {
    const queue = queues.get(name);
    if (queue !== undefined) return queue;
    throw new LoraFleetError("not_found", `cannot ${attempted} the queue ${quote(name)}: there is none`);
  }

  function logNamed(name: string, attempted: string): Log {
    const log = logs.get(name);
    if (log !== undefined) return log;
    throw new LoraFleetError("not_found", `cannot ${attempted} the log ${quote(name)}: there is none`);
  }

  /** Gives waiting items to open pulls. */
  function serve(queue: Queue): void {
    while (queue.waiting.length > 0 && queue.pulls.length > 0) {
      const item = queue.waiting.shift()!;
      if (item.state === "waiting") queue.pulls.shift()!(item);
    }
  }

  /** Takes an item back, before all that wait: JetStream redelivers first. */
  function putBack(queue: Queue, item: StoredItem): void {
    if (item.state !== "delivered") return;
    item.handled?.abort(HANDLED);
    item.state = "waiting";
    queue.waiting.unshift(item);
    serve(queue);
  }

  function startAckWait(queue: Queue, item: StoredItem): void {
    item.handled?.abort(HANDLED);
    const handled = new AbortController();
    item.handled = handled;
    void clock.sleep(queue.ackWaitMs, handled.signal).then(() => putBack(queue, item), () => {});
  }

  function remove(queue: Queue, item: StoredItem): void {
    item.state = "gone";
    item.handled?.abort(HANDLED);
    queue.items.delete(item);
  }

  function deliver(queue: Queue, item: StoredItem): WorkItem {
    item.state = "delivered";
    const deliveryCount = ++item.deliveryCount;
    startAckWait(queue, item);
    // Of an earlier delivery only the acknowledgement counts, as in JetStream.
    const isNewest = () => item.state === "delivered" && item.deliveryCount === deliveryCount;
    return {
      subject: item.subject,
      data: item.data.slice(),
      deliveryCount,
      ack: () => {
        remove(queue, item);
        return Promise.resolve();
      },
      nak: () => {
        if (isNewest()) putBack(queue, item);
      },
      working: () => {
        if (isNewest()) startAckWait(queue, item);
      },
    };
  }

  async function pull(name: string, client: Client, timeoutMs: number): Promise<WorkItem | null> {
    client.assertOpen(`pull from the queue ${quote(name)}`);
    const queue = queueNamed(name, "pull from");
    const given = Promise.withResolvers<void>();
    const got: { item: StoredItem | null } = { item: null };
    const take = (item: StoredItem) => {
      got.item = item;
      given.resolve();
    };
    queue.pulls.push(take);
    serve(queue);
    const over = new AbortController();
    const end = () => over.abort(HANDLED);
    const enders = [client.signal, queue.deleted.signal];
    for (const signal of enders) {
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
    }
    const late = clock.sleep(timeoutMs, over.signal);
    try {
      await Promise.race([given.promise, late]);
    } catch (thrown) {
      if (got.item?.state === "waiting") queue.waiting.unshift(got.item);
      client.assertOpen(`pull from the queue ${quote(name)}`);
      queueNamed(name, "pull from");
      throw thrown;
    } finally {
      late.catch(() => {});
      for (const signal of enders) signal.removeEventListener("abort", end);
      end();
      const at = queue.pulls.indexOf(take);
      if (at >= 0) queue.pulls.splice(at, 1);
      serve(queue);
    }
    return got.item?.state === "waiting" ? deliver(queue, got.item) : null;
  }

  function enqueue(subject: string, data: Uint8Array, id: string): void {
    const queue = [...queues.values()].find(({ subjects }) =>
      subjects.some((pattern) => subjectMatches(pattern, subject))
    );
    if (queue === undefined) {
      throw new LoraFleetError("timeout", `cannot enqueue ${quote(id)}: no queue takes ${quote(subject)}`);
    }
    const now = clock.now();
    for (const [known, storedAt] of queue.ids) {
      if (storedAt + DUPLICATE_WINDOW_MS > now) break;
      queue.ids.delete(known);
    }
    if (queue.ids.has(id)) return;
    queue.ids.set(id, now);
    const item: StoredItem = {
      subject,
      data: data.slice(),
      deliveryCount: 0,
      state: "waiting",
      handled: null,
    };
    queue.items.add(item);
    queue.waiting.push(item);
    serve(queue);
  }

  function append(subject: string, data: Uint8Array, expectedLast: number): number {
    const log = [...logs.values()].find((log) => subjectMatches(log.subject, subject));
    const attempted = `cannot append to ${quote(subject)} behind entry ${expectedLast}`;
    if (log === undefined) throw new LoraFleetError("timeout", `${attempted}: there is no such log`);
    const last = log.entries.length;
    if (last !== expectedLast) {
      throw new LoraFleetError("conflict", `${attempted}: the newest entry is ${last}`);
    }
    return log.entries.push({ sequence: last + 1, data: data.slice() });
  }

  function client(client: Client): Omit<BusStore, "acquireLease"> {
    /** Every call resolves or rejects; none throws. */
    const run = <T>(attempted: string, action: () => T): Promise<T> =>
      new Promise((resolve) => {
        client.assertOpen(attempted);
        resolve(action());
      });
    return {
      ensureQueue: (name, subjects, { ackWaitMs }) =>
        run(`create the queue ${quote(name)}`, () => {
          const queue = queues.get(name);
          if (queue !== undefined) return void Object.assign(queue, { subjects: [...subjects], ackWaitMs });
          queues.set(name, {
            subjects: [...subjects],
            ackWaitMs,
            waiting: [],
            items: new Set(),
            pulls: [],
            ids: new Map(),
            deleted: new AbortController(),
          });
        }),
      deleteQueue: (name) =>
        run(`delete the queue ${quote(name)}`, () => {
          const queue = queues.get(name);
          queues.delete(name);
          queue?.items.forEach((item) => remove(queue, item));
          queue?.deleted.abort();
        }),
      enqueue: (subject, data, id) =>
        run(`enqueue ${quote(id)}`, () => {
          assertPayload(subject, data, client.maxPayloadBytes);
          enqueue(subject, data, id);
        }),
      purgeQueue: (name, subject) =>
        run(`purge the queue ${quote(name)}`, () => {
          const queue = queueNamed(name, "purge");
          for (const item of queue.items) {
            if (subjectMatches(subject, item.subject)) remove(queue, item);
          }
        }),
      openQueue: (name) =>
        run(`open the queue ${quote(name)}`, () => {
          queueNamed(name, "open");
          return { pull: (timeoutMs) => pull(name, client, timeoutMs) };
        }),
      ensureStream: (name, subject) =>
        run(`create the log ${quote(name)}`, () => {
          const log = logs.get(name);
          if (log === undefined) logs.set(name, { subject, entries: [] });
          else log.subject = subject;
        }),
      append: (subject, data, expectedLast) =>
        run(`append to ${quote(subject)}`, () => {
          assertPayload(subject, data, client.maxPayloadBytes);
          return append(subject, data, expectedLast);
        }),
      readStream: (name) =>
        run(
          `read the log ${quote(name)}`,
          () =>
            logNamed(name, "read").entries.map(({ sequence, data }) => ({ sequence, data: data.slice() })),
        ),
      deleteStream: (name) => run(`delete the log ${quote(name)}`, () => void logs.delete(name)),
    };
  }

  return { client };
}
