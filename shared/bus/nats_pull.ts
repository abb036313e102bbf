/**
 * Pull requests to a JetStream consumer, spoken as `$JS.API.CONSUMER.MSG.NEXT`: the client's own pull waits a second at
 * least, and leaves an item that comes late to its ackWait.
 */
import {
  createInbox,
  type Msg,
  nanos,
  type NatsConnection,
  type Subscription,
} from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";

/** How much later than a pull's end its status may come. */
const LATE_MS = 500;
const MAX_ABANDONED_INBOXES = 8;

const encoder = new TextEncoder();
export const NAK = encoder.encode("-NAK");

/** 0 for an item, else the code of a status message. */
export function statusOf(message: Msg): number {
  return message.headers?.code ?? 0;
}

/** Pulls from one consumer: the broker's answer, an item or a status, or null if none comes in time. */
export function createPull(
  nc: NatsConnection,
  { stream, consumer, inboxPrefix, domain }: {
    readonly stream: string;
    readonly consumer: string;
    readonly inboxPrefix: string;
    readonly domain: string | null;
  },
): (timeoutMs: number) => Promise<Msg | null> {
  const abandoned: Subscription[] = [];
  const api = domain === null ? "$JS.API" : `$JS.${domain}.API`;

  /** Keeps the inbox open for an item that comes late. */
  function abandon(inbox: Subscription): void {
    if (abandoned.push(inbox) > MAX_ABANDONED_INBOXES) abandoned.shift()!.unsubscribe();
  }

  return async (timeoutMs) => {
    const reply = createInbox(inboxPrefix);
    const answer = Promise.withResolvers<Msg>();
    let isOver = false;
    // An inbox for each pull: an item keeps the subject under which it was stored.
    const inbox = nc.subscribe(reply, {
      callback: (error, message) => {
        if (error !== null) return answer.reject(error);
        // An item for a pull that is over is redelivered at once.
        if (isOver && message.reply && statusOf(message) === 0) nc.publish(message.reply, NAK);
        answer.resolve(message);
      },
    });
    const answered = new AbortController();
    try {
      const request = JSON.stringify({ batch: 1, expires: nanos(Math.max(1, timeoutMs)) });
      nc.publish(`${api}.CONSUMER.MSG.NEXT.${stream}.${consumer}`, encoder.encode(request), { reply });
      const late = systemClock.sleep(timeoutMs + LATE_MS, answered.signal).then(() => null, () => null);
      const message = await Promise.race([answer.promise, inbox.closed.then(() => null), late]);
      isOver = true;
      if (message === null) abandon(inbox);
      else inbox.unsubscribe();
      return message;
    } finally {
      answered.abort();
    }
  };
}
