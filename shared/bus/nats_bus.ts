/**
 * The bus over NATS. With its parts (`nats_*.ts`) the only importer of a NATS client.
 *
 * Gradients deserve a connection of their own: a process that sends heartbeats behind megabytes of chunks looks dead.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import { INBOXES } from "../protocol/subjects.ts";
import type { Bus, BusErrorHandler, BusMessage, BusStatus, Subscription } from "./bus.ts";
import { assertPayload, plainBytes } from "./bus_checks.ts";
import { type NatsConnectionOptions, openConnection } from "./nats_connection.ts";
import { isClosed, isNoResponders, toLoraFleetError } from "./nats_errors.ts";
import type { NatsIdentity } from "./nats_keys.ts";
import { createNatsStore } from "./nats_store.ts";

interface NatsBusOptions extends NatsConnectionOptions {
  /** Who we are in the account that has the streams, where that is another one. */
  readonly storeIdentity?: NatsIdentity;
  /** Whether this client has no right but to take items from queues, of all that concerns streams. */
  readonly mayOnlyPull?: boolean;
  /** Defects of handlers and what the server objects to: refused subjects, expired credentials. */
  readonly onError: BusErrorHandler;
  /** How long `enqueue`, `append` and the queues' and logs' management try again before they reject. */
  readonly storeDeadlineMs?: number;
}

const STORE_DEADLINE_MS = 30_000;
/** Between two tries of a request that nobody was there to hear. */
const NO_RESPONDERS_WAIT_MS = 50;
const CLOSE_TIMEOUT_MS = 2000;
const STATUS_OF: Readonly<Record<string, BusStatus>> = {
  disconnect: "disconnected",
  reconnect: "reconnected",
};

/**
 * Connects, and reconnects for ever. Rejects with code `unauthorized` or `timeout` where the first connection fails.
 * What is published while disconnected is lost, except `enqueue` and `append`, which repeat until acknowledged.
 */
export async function connectNatsBus(options: NatsBusOptions): Promise<Bus> {
  const { name, onError } = options;
  const nc = await openConnection(options);
  const storeConnection = await openStore(options, nc);
  const statusHandlers: ((status: BusStatus) => void)[] = [];
  let closing: Promise<void> | null = null;
  let lastMaxPayload = nc.info!.max_payload;
  /** The server may tell another one at every connection, and none is told while there is no connection. */
  const maxPayloadBytes = () => lastMaxPayload = nc.info?.max_payload ?? lastMaxPayload;

  const report = (message: string, run: () => void) => {
    try {
      run();
    } catch (thrown) {
      onError(message, thrown);
    }
  };
  void watch();

  /** Tells of every change once: while the client redials it may say the same again. */
  async function watch(): Promise<void> {
    let last: BusStatus = "reconnected";
    for await (const status of nc.status()) {
      if (status.type === "error") onError(`the broker refuses something of ${quote(name)}`, status.error);
      const now = STATUS_OF[status.type];
      if (now === undefined || now === last) continue;
      last = now;
      for (const handler of statusHandlers) {
        report("a handler of the bus's status failed", () => handler(now));
      }
    }
  }

  function publish(subject: string, data: Uint8Array): void {
    assertPayload(subject, data, maxPayloadBytes());
    try {
      nc.publish(subject, data);
    } catch (thrown) {
      throw toLoraFleetError(`cannot publish to ${quote(subject)}`, thrown);
    }
  }

  function subscribe(subject: string, handler: (message: BusMessage) => void): Subscription {
    try {
      const subscription = nc.subscribe(subject, {
        // An exception that left the callback would end the client's read loop without a word.
        callback: (error, message) =>
          report(`the handler of ${quote(subject)} failed`, () => {
            if (error !== null) throw error;
            handler({
              subject: message.subject,
              data: plainBytes(message.data),
              respond: (data) => {
                // Whoever asks chooses the subject of the answer, and must not choose one on which we alone may speak.
                if (!message.reply?.startsWith(`${INBOXES}.`) || nc.isClosed()) return;
                assertPayload(message.reply, data, maxPayloadBytes());
                message.respond(data);
              },
            });
          }),
      });
      return { close: () => subscription.unsubscribe() };
    } catch (thrown) {
      throw toLoraFleetError(`cannot subscribe to ${quote(subject)}`, thrown);
    }
  }

  async function request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    assertPayload(subject, data, maxPayloadBytes());
    const deadline = systemClock.now() + timeoutMs;
    while (true) {
      try {
        const remainingMs = Math.max(1, deadline - systemClock.now());
        return plainBytes((await nc.request(subject, data, { timeout: remainingMs })).data);
      } catch (thrown) {
        const remainingMs = deadline - systemClock.now();
        // Nobody has seen it, so it can be sent again: a responder that starts in time answers it.
        if (isNoResponders(thrown) && remainingMs > 0) {
          await systemClock.sleep(Math.min(NO_RESPONDERS_WAIT_MS, remainingMs));
          continue;
        }
        throw isClosed(thrown)
          ? toLoraFleetError(`cannot ask ${quote(subject)}`, thrown)
          : new LoraFleetError("timeout", `nobody answered on ${quote(subject)} within ${timeoutMs} ms`, {
            cause: thrown,
          });
      }
    }
  }

  async function flush(): Promise<void> {
    try {
      await nc.flush();
    } catch (thrown) {
      throw toLoraFleetError("what was published may not have reached the broker", thrown);
    }
  }

  /** Lets out what was published, then leaves; a broker that is away is not waited for. */
  async function close(): Promise<void> {
    const late = new AbortController();
    const drained = Promise.all([nc.drain(), ...storeConnection === nc ? [] : [storeConnection.drain()]])
      .catch(() => {});
    await Promise.race([drained, systemClock.sleep(CLOSE_TIMEOUT_MS, late.signal).catch(() => {})]);
    late.abort();
    await Promise.all([nc.close(), storeConnection.close()]);
  }

  return {
    get maxPayloadBytes() {
      return maxPayloadBytes();
    },
    publish,
    subscribe,
    request,
    flush,
    ...createNatsStore(storeConnection, {
      deadlineMs: options.storeDeadlineMs ?? STORE_DEADLINE_MS,
      maxPayloadBytes,
      onError,
      inboxPrefix: options.inboxPrefix ?? INBOXES,
      mayOnlyPull: options.mayOnlyPull ?? false,
    }),
    onStatus: (handler) => void statusHandlers.push(handler),
    close: () => closing ??= close(),
  };
}

async function openStore(options: NatsBusOptions, nc: NatsConnection): Promise<NatsConnection> {
  const { storeIdentity, name } = options;
  if (storeIdentity === undefined) return nc;
  try {
    return await openConnection({ ...options, identity: storeIdentity, name: `${name}, streams` });
  } catch (thrown) {
    await nc.close();
    throw thrown;
  }
}
