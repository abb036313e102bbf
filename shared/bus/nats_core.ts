/** Core NATS over one connection: messages at most once, requests and their answers. */
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import { INBOXES } from "../protocol/subjects.ts";
import type { Bus, BusErrorHandler, BusMessage, Subscription } from "./bus.ts";
import { assertPayload, plainBytes } from "./bus_checks.ts";
import { isClosed, isNoResponders, toLoraFleetError } from "./nats_errors.ts";

interface NatsCore extends Pick<Bus, "publish" | "subscribe" | "request" | "flush"> {
  readonly maxPayloadBytes: () => number;
}

/** Between two tries of a request without a subscriber. */
const NO_RESPONDERS_WAIT_MS = 50;

export function createNatsCore(nc: NatsConnection, onError: BusErrorHandler): NatsCore {
  let lastMaxPayload = nc.info!.max_payload;
  /** Of the present server or, while disconnected, of the last one. */
  const maxPayloadBytes = () => lastMaxPayload = nc.info?.max_payload ?? lastMaxPayload;

  function publish(subject: string, data: Uint8Array): void {
    assertPayload(subject, data, maxPayloadBytes());
    try {
      nc.publish(subject, data);
    } catch (thrown) {
      throw toLoraFleetError(`cannot publish to ${quote(subject)}`, thrown);
    }
  }

  function subscribe(subject: string, handler: (message: BusMessage) => void): Subscription {
    const callback = (error: Error | null, message: Msg) => {
      // An exception that left the callback would end the client's read loop silently.
      try {
        if (error !== null) throw error;
        handler({
          subject: message.subject,
          data: plainBytes(message.data),
          respond: (data) => {
            // The requester chooses the answer's subject, and must not choose one on which only we may speak.
            if (!message.reply?.startsWith(`${INBOXES}.`) || nc.isClosed()) return;
            assertPayload(message.reply, data, maxPayloadBytes());
            message.respond(data);
          },
        });
      } catch (thrown) {
        onError(`the handler of ${quote(subject)} failed`, thrown);
      }
    };
    try {
      const subscription = nc.subscribe(subject, { callback });
      return { close: () => subscription.unsubscribe() };
    } catch (thrown) {
      throw toLoraFleetError(`cannot subscribe to ${quote(subject)}`, thrown);
    }
  }

  async function request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    assertPayload(subject, data, maxPayloadBytes());
    return await requestWithin(nc, subject, data, timeoutMs);
  }

  async function flush(): Promise<void> {
    try {
      await nc.flush();
    } catch (thrown) {
      throw toLoraFleetError("published messages may not have reached the broker", thrown);
    }
  }

  return { maxPayloadBytes, publish, subscribe, request, flush };
}

/** Sends the request until it has a subscriber. */
async function requestWithin(
  nc: NatsConnection,
  subject: string,
  data: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array> {
  const deadline = systemClock.now() + timeoutMs;
  while (true) {
    try {
      const remainingMs = Math.max(1, deadline - systemClock.now());
      return plainBytes((await nc.request(subject, data, { timeout: remainingMs })).data);
    } catch (cause) {
      if (isClosed(cause)) throw toLoraFleetError(`cannot ask ${quote(subject)}`, cause);
      const remainingMs = deadline - systemClock.now();
      // Without a subscriber no one has seen it, so it can be sent again.
      if (!isNoResponders(cause) || remainingMs <= 0) {
        const message = `no answer on ${quote(subject)} within ${timeoutMs} ms`;
        throw new LoraFleetError("timeout", message, { cause });
      }
      await systemClock.sleep(Math.min(NO_RESPONDERS_WAIT_MS, remainingMs));
    }
  }
}
