/**
 * A work queue over a JetStream pull consumer, spoken at the level of its requests (`$JS.API.CONSUMER.MSG.NEXT`, `$JS.ACK`):
 * the client's own pull waits a second at least and leaves an item that comes late to its ackWait.
 */
import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import type { JetStreamManager } from "@nats-io/jetstream";
import { createInbox, nanos } from "@nats-io/transport-node";
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import { WORK_CONSUMER } from "../protocol/subjects.ts";
import type { BusErrorHandler, WorkItem, WorkQueue } from "./bus.ts";
import { plainBytes } from "./bus_checks.ts";
import { isNotFound, toLoraFleetError } from "./nats_errors.ts";

/** Pulls that may be open at the broker at once. */
const MAX_OPEN_PULLS = 20_000;
const ACK_TIMEOUT_MS = 2000;
/** How much later than a pull's end the broker's word of it may come. */
const LATE_MS = 500;
const ABANDONED_INBOXES = 8;

const text = new TextEncoder();
const ACK = text.encode("+ACK");
const NAK = text.encode("-NAK");
const WORKING = text.encode("+WPI");

/** Creates the consumer of a stream, or gives it this ackWait. */
export async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  ackWaitMs: number,
): Promise<void> {
  const changeable = { ack_wait: nanos(ackWaitMs), max_deliver: -1, max_ack_pending: -1 };
  try {
    await manager.consumers.info(stream, WORK_CONSUMER);
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
    await manager.consumers.add(stream, {
      ...changeable,
      durable_name: WORK_CONSUMER,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      max_waiting: MAX_OPEN_PULLS,
    });
    return;
  }
  await manager.consumers.update(stream, WORK_CONSUMER, changeable);
}

/** Rejects where the queue is not there. */
export async function assertQueue(manager: JetStreamManager, name: string): Promise<void> {
  await manager.consumers.info(name, WORK_CONSUMER);
}

interface NatsQueueOptions {
  readonly name: string;
  /** Null for one who may only pull: then a queue that is not there looks empty. */
  readonly manager: JetStreamManager | null;
  /** Where the broker's answers come. */
  readonly inboxPrefix: string;
  readonly onError: BusErrorHandler;
}

export function openNatsQueue(
  nc: NatsConnection,
  { name, manager, inboxPrefix, onError }: NatsQueueOptions,
): WorkQueue {
  const abandoned: Subscription[] = [];

  /** Leaves the inbox open for an item that comes late after all. */
  function abandon(inbox: Subscription): void {
    if (abandoned.push(inbox) > ABANDONED_INBOXES) abandoned.shift()!.unsubscribe();
  }

  /** The broker's next word on this pull, or null where none comes in time. */
  async function ask(timeoutMs: number): Promise<Msg | null> {
    const reply = createInbox(inboxPrefix);
    const answer = Promise.withResolvers<Msg>();
    let isOver = false;
    // An inbox for each pull: an item keeps the subject under which it was stored.
    const inbox = nc.subscribe(reply, {
      callback: (error, message) => {
        if (error !== null) return answer.reject(error);
        // An item for a pull that nobody waits for any more goes to somebody else at once.
        if (isOver && message.reply && statusOf(message) === 0) nc.publish(message.reply, NAK);
        answer.resolve(message);
      },
    });
    const answered = new AbortController();
    try {
      const order = JSON.stringify({ batch: 1, expires: nanos(Math.max(1, timeoutMs)) });
      nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${name}.${WORK_CONSUMER}`, text.encode(order), { reply });
      const late = systemClock.sleep(timeoutMs + LATE_MS, answered.signal).then(() => null, () => null);
      const message = await Promise.race([answer.promise, inbox.closed.then(() => null), late]);
      isOver = true;
      if (message === null) abandon(inbox);
      else inbox.unsubscribe();
      return message;
    } finally {
      answered.abort();
    }
  }

  async function pull(timeoutMs: number): Promise<WorkItem | null> {
    const deadline = systemClock.now() + timeoutMs;
    let message: Msg | null;
    try {
      message = await ask(timeoutMs);
    } catch (thrown) {
      throw toLoraFleetError(`cannot pull from the queue ${quote(name)}`, thrown);
    }
    if (message === null) {
      if (nc.isClosed()) {
        throw new LoraFleetError("aborted", `cannot pull from the queue ${quote(name)}: the bus is closed`);
      }
      // The broker ends a pull with a word, so there is no connection, or no queue.
      await assertStillThere();
      return null;
    }
    const status = statusOf(message);
    if (status === 0) return workItem(nc, message, onError);
    // 404 and 408 are the ends of a pull that found nothing. Anything else may come at once: whoever pulls in a loop
    // must not spin.
    if (status !== 404 && status !== 408) {
      await assertStillThere();
      await systemClock.sleep(Math.max(0, deadline - systemClock.now()));
    }
    return null;
  }

  async function assertStillThere(): Promise<void> {
    if (manager === null) return;
    try {
      await assertQueue(manager, name);
    } catch (thrown) {
      if (!isNotFound(thrown)) return;
      throw new LoraFleetError("not_found", `cannot pull from the queue ${quote(name)}: it was deleted`, {
        cause: thrown,
      });
    }
  }

  return { pull };
}

/** 0 for an item, else the code of a status message. */
function statusOf(message: Msg): number {
  return message.headers?.code ?? 0;
}

function workItem(nc: NatsConnection, message: Msg, onError: BusErrorHandler): WorkItem {
  const { subject } = message;
  const data = plainBytes(message.data);
  const reply = message.reply!;
  const say = (what: string, word: Uint8Array) => {
    try {
      nc.publish(reply, word);
    } catch (thrown) {
      onError(`cannot ${what} an item of ${quote(subject)}`, thrown);
    }
  };
  return {
    subject,
    data,
    deliveryCount: deliveryCountOf(reply),
    ack: async () => {
      try {
        await nc.request(reply, ACK, { timeout: ACK_TIMEOUT_MS });
      } catch (thrown) {
        throw toLoraFleetError(`cannot acknowledge an item of ${quote(subject)}`, thrown);
      }
    },
    nak: () => say("nak", NAK),
    working: () => say("extend", WORKING),
  };
}

/**
 * `$JS.ACK.<stream>.<consumer>.<delivered>.…` (9 parts), or with domain and account before the stream (11 or 12
 * parts): ADR-15 of nats-architecture-and-design.
 */
export function deliveryCountOf(reply: string): number {
  const parts = reply.split(".");
  const count = Number(parts[parts.length === 9 ? 4 : 6]);
  if (Number.isInteger(count) && count > 0) return count;
  throw new LoraFleetError("corrupt", `the broker's reply subject ${quote(reply)} has no delivery count`);
}
