/**
 * How many copies a stream has: three where the broker is a cluster that has three servers, so that any one of them may be
 * away; one otherwise. Two would be lost with either server, as a majority of two is two.
 */
import type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import type { NatsConnection, ServerInfo } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { messageOf, quote } from "../errors.ts";
import { isNotFound, isTooFewServers, isTransient } from "./nats_errors.ts";

export const REPLICAS = 3;

/** Receives the number of copies of what was created or copied. */
export type OnReplicas = (stream: string, replicas: number) => void;

/** A single server names no cluster; the one that we reach says nothing of those in a domain behind it. */
export function mayReplicate(nc: NatsConnection, domain: string | null): boolean {
  return domain !== null || isClustered(nc);
}

/** The cluster that a server belongs to, or null; a leaf node without one calls itself a cluster by its own name. */
export function clusterOf({ cluster, server_name: name }: ServerInfo): string | null {
  return cluster === undefined || cluster === name ? null : cluster;
}

function isClustered(nc: NatsConnection): boolean {
  return nc.info !== undefined && clusterOf(nc.info) !== null;
}

/** Why a request was not carried out: in a cluster silence means that a stream has no leader now, or that no one can lead. */
export function reasonOf(nc: NatsConnection, thrown: unknown): string {
  if (!isClustered(nc) || !isTransient(thrown)) return messageOf(thrown);
  const cluster = quote(clusterOf(nc.info!)!);
  return `no server of the cluster ${cluster} leads it now, and a majority of them has to run: ${
    messageOf(thrown)
  }`;
}

/** Creates a stream with as many copies as the broker has servers for, once it is known that it does not exist. */
export async function createReplicated<T extends Partial<StreamConfig>>(
  nc: NatsConnection,
  config: T,
  create: (config: T & { readonly num_replicas: number }) => Promise<unknown>,
  domain: string | null = null,
): Promise<number> {
  if (mayReplicate(nc, domain)) {
    try {
      await create({ ...config, num_replicas: REPLICAS });
      return REPLICAS;
    } catch (thrown) {
      if (!isTooFewServers(thrown)) throw thrown;
    }
  }
  await create({ ...config, num_replicas: 1 });
  return 1;
}

/** The copies of a stream after an attempt to bring them to three; what a smaller cluster refuses stays as it is. */
export async function growReplicas(
  nc: NatsConnection,
  { streams }: JetStreamManager,
  { config, cluster }: StreamInfo,
  domain: string | null = null,
): Promise<number> {
  // A single server before 2.15 would accept three copies, and make none.
  if (!isOfCluster(cluster)) return 1;
  if (config.num_replicas >= REPLICAS || !mayReplicate(nc, domain)) return config.num_replicas;
  try {
    await streams.update(config.name, { num_replicas: REPLICAS });
    return REPLICAS;
  } catch (thrown) {
    if (!isTooFewServers(thrown)) throw thrown;
    return config.num_replicas;
  }
}

/** A single server says no cluster of its streams, or one without a name; a leaf node its own name (see `clusterOf`). */
function isOfCluster(cluster: StreamInfo["cluster"]): boolean {
  const { name = "", leader } = cluster ?? {};
  return name !== "" && name !== leader;
}

/** Streams with fewer copies than they should have, until the cluster has servers for them. */
export interface ReplicaKeeper {
  /** A stream has so many copies. */
  note(stream: string, replicas: number): void;
  growSoon(stream: string): void;
  /** A stream is to be deleted. */
  forget(stream: string): void;
}

/** How often a cluster that had too few servers for a stream's copies is asked again. */
const GROW_INTERVAL_MS = 15_000;

export function createReplicaKeeper(
  nc: NatsConnection,
  manager: () => Promise<JetStreamManager>,
  onReplicas: OnReplicas,
  { intervalMs = GROW_INTERVAL_MS, domain = null }: {
    readonly intervalMs?: number;
    readonly domain?: string | null;
  } = {},
): ReplicaKeeper {
  const small = new Set<string>();
  let isGrowing = false;

  function note(stream: string, replicas: number): void {
    onReplicas(stream, replicas);
    if (replicas >= REPLICAS) small.delete(stream);
    else watch(stream, intervalMs);
  }

  function watch(stream: string, waitMs: number): void {
    if (!mayReplicate(nc, domain)) return;
    small.add(stream);
    if (isGrowing) return;
    isGrowing = true;
    void keepGrowing(waitMs).finally(() => isGrowing = false);
  }

  /** Until no stream is small, or the connection is closed. */
  async function keepGrowing(firstWaitMs: number): Promise<void> {
    const closed = new AbortController();
    nc.closed().then(() => closed.abort());
    for (let waitMs = firstWaitMs; small.size > 0; waitMs = intervalMs) {
      await systemClock.sleep(waitMs, closed.signal).catch(() => {});
      for (const stream of small) {
        if (closed.signal.aborted) return;
        try {
          const streams = await manager();
          note(stream, await growReplicas(nc, streams, await streams.streams.info(stream), domain));
        } catch (thrown) {
          // A stream that is gone needs no copies; a broker that is away is asked again.
          if (isNotFound(thrown)) small.delete(stream);
        }
      }
    }
  }

  return { note, growSoon: (stream) => watch(stream, 0), forget: (stream) => void small.delete(stream) };
}
