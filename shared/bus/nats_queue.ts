/** A work queue: a JetStream work-queue stream with one pull consumer. */
import { AckPolicy, DeliverPolicy, type JetStreamManager } from "@nats-io/jetstream";
import { type Msg, nanos, type NatsConnection } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import { WORK_CONSUMER } from "../protocol/subjects.ts";
import type { BusErrorHandler, WorkItem, WorkQueue } from "./bus.ts";
import { plainBytes } from "./bus_checks.ts";
import { isNotFound, toLoraFleetError } from "./nats_errors.ts";
import { createPull, NAK, statusOf } from "./nats_pull.ts";

/** Pulls that may be open at the broker at once. */
const MAX_OPEN_PULLS = 20_000;
const ACK_TIMEOUT_MS = 2000;

const ACK = new TextEncoder().encode("+ACK");
const WORKING = new TextEncoder().encode("+WPI");

/** Creates the consumer of a stream, or gives the existing one this ackWait. */
export async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  ackWaitMs: number,
): Promise<void> {
  const changeable = { ack_wait: nanos(ackWaitMs), max_deliver: -1, max_ack_pending: -1 };
  try {
    await assertQueue(manager, stream);
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

/** Rejects if the queue does not exist. */
export async function assertQueue(manager: JetStreamManager, name: string): Promise<void> {
  await manager.consumers.info(name, WORK_CONSUMER);
}

interface NatsQueueOptions {
  readonly name: string;
  /** Null for a client that may only pull: a queue that does not exist then looks empty. */
  readonly manager: JetStreamManager | null;
  readonly inboxPrefix: string;
  readonly onError: BusErrorHandler;
  readonly domain: string | null;
}

export function openNatsQueue(
  nc: NatsConnection,
  { name, manager, inboxPrefix, onError, domain }: NatsQueueOptions,
): WorkQueue {
  const attempted = `cannot pull from the queue ${quote(name)}`;
  const pullOnce = createPull(nc, { stream: name, consumer: WORK_CONSUMER, inboxPrefix, domain });

  async function pull(timeoutMs: number): Promise<WorkItem | null> {
    const deadline = systemClock.now() + timeoutMs;
    const message = await pullOnce(timeoutMs).catch((thrown) => {
      throw toLoraFleetError(attempted, thrown);
    });
    if (message === null) {
      if (nc.isClosed()) throw new LoraFleetError("aborted", `${attempted}: the bus is closed`);
      // The broker answers every pull, so there is no connection, or no queue.
      await assertStillThere();
      return null;
    }
    const status = statusOf(message);
    if (status === 0) return workItem(nc, message, onError);
    // 404 and 408 end a pull that found nothing. Any other status may come at once, and a loop of pulls must not spin.
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
    } catch (cause) {
      if (!isNotFound(cause)) return;
      throw new LoraFleetError("not_found", `${attempted}: it was deleted`, { cause });
    }
  }

  return { pull };
}

function workItem(nc: NatsConnection, message: Msg, onError: BusErrorHandler): WorkItem {
  const { subject } = message;
  const reply = message.reply!;
  const send = (what: string, payload: Uint8Array) => {
    try {
      nc.publish(reply, payload);
    } catch (thrown) {
      onError(`cannot ${what} an item of ${quote(subject)}`, thrown);
    }
  };
  return {
    subject,
    data: plainBytes(message.data),
    deliveryCount: deliveryCountOf(reply),
    ack: async () => {
      try {
        await nc.request(reply, ACK, { timeout: ACK_TIMEOUT_MS });
      } catch (thrown) {
        throw toLoraFleetError(`cannot ack an item of ${quote(subject)}`, thrown);
      }
    },
    nak: () => send("nak", NAK),
    working: () => send("extend", WORKING),
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
