/**
 * The bus over NATS. Only `nats_*.ts` import a NATS client.
 *
 * Gradients deserve a connection of their own: heartbeats queued behind megabytes of chunks make a process look dead.
 */
import type { NatsConnection, ServerInfo } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { quote } from "../errors.ts";
import type { Bus, BusStatus } from "./bus.ts";
import { type NatsConnectionOptions, openConnection } from "./nats_connection.ts";
import { createNatsCore } from "./nats_core.ts";
import type { NatsIdentity } from "./nats_keys.ts";
import { clusterOf } from "./nats_replicas.ts";
import { createNatsStore, type NatsStoreOptions } from "./nats_store.ts";

interface NatsBusOptions extends NatsConnectionOptions, NatsStoreOptions {
  /** Our identity in the account of the streams, if that is a different one. */
  readonly storeIdentity?: NatsIdentity;
  /** Called with the server at each connection. */
  readonly onServer?: (server: NatsServerInfo) => void;
}

export interface NatsServerInfo {
  /** As the server says it: "2.15.3". */
  readonly version: string;
  /** The cluster's name; null for a single server. */
  readonly cluster: string | null;
  readonly name: string;
}

type StatusHandler = (status: BusStatus) => void;

const CLOSE_TIMEOUT_MS = 2000;
const STATUS_OF: Readonly<Record<string, BusStatus>> = {
  disconnect: "disconnected",
  reconnect: "reconnected",
};

/**
 * Connects, and reconnects for ever. Rejects with code `unauthorized` or `timeout` if the first connection fails.
 * What is published while disconnected is lost, except `enqueue` and `append`, which repeat until acknowledged.
 */
export async function connectNatsBus(options: NatsBusOptions): Promise<Bus> {
  const nc = await openConnection(options);
  const storeConnection = await openStoreConnection(options, nc);
  const { maxPayloadBytes, ...core } = createNatsCore(nc, options.onError);
  const statusHandlers: StatusHandler[] = [];
  let closing: Promise<void> | null = null;
  void watchStatus(nc, options, statusHandlers);
  return {
    get maxPayloadBytes() {
      return maxPayloadBytes();
    },
    ...core,
    ...createNatsStore(storeConnection, maxPayloadBytes, options),
    onStatus: (handler) => void statusHandlers.push(handler),
    close: () => closing ??= close(new Set([nc, storeConnection])),
  };
}

async function openStoreConnection(options: NatsBusOptions, nc: NatsConnection): Promise<NatsConnection> {
  const { storeIdentity, name } = options;
  if (storeIdentity === undefined) return nc;
  try {
    return await openConnection({ ...options, identity: storeIdentity, name: `${name}, streams` });
  } catch (thrown) {
    await nc.close();
    throw thrown;
  }
}

/** Reports every change once: the client repeats itself while it redials. */
async function watchStatus(
  nc: NatsConnection,
  { name, onError, onServer }: NatsBusOptions,
  handlers: readonly StatusHandler[],
): Promise<void> {
  let last: BusStatus = "reconnected";
  const tellServer = () => nc.info !== undefined && onServer?.(serverInfoOf(nc.info));
  tellServer();
  for await (const status of nc.status()) {
    if (status.type === "error") onError(`the broker refuses something of ${quote(name)}`, status.error);
    const now = STATUS_OF[status.type];
    if (now === undefined || now === last) continue;
    last = now;
    if (now === "reconnected") tellServer();
    for (const handler of handlers) {
      try {
        handler(now);
      } catch (thrown) {
        onError("a handler of the bus's status failed", thrown);
      }
    }
  }
}

function serverInfoOf(info: ServerInfo): NatsServerInfo {
  return { version: info.version, cluster: clusterOf(info), name: info.server_name };
}

/** Sends what was published, then leaves; does not wait for a broker that is away. */
async function close(connections: ReadonlySet<NatsConnection>): Promise<void> {
  const late = new AbortController();
  const drained = Promise.all([...connections].map((nc) => nc.drain())).catch(() => {});
  await Promise.race([drained, systemClock.sleep(CLOSE_TIMEOUT_MS, late.signal).catch(() => {})]);
  late.abort();
  await Promise.all([...connections].map((nc) => nc.close()));
}
