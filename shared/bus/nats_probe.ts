/** Tries what a fleet needs of a broker that we do not run, before any job depends on it. */
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { nanos, type NatsConnection } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { WORK_CONSUMER } from "../protocol/subjects.ts";
import { type NatsConnectionOptions, openConnection } from "./nats_connection.ts";
import { isTransient, isWithoutJetStream, toLoraFleetError } from "./nats_errors.ts";
import { createPull, statusOf } from "./nats_pull.ts";
import { inDomain } from "./nats_streams.ts";

export interface ProbeOptions {
  /** Who stores streams. */
  readonly store: NatsConnectionOptions;
  /** Null: workers share the user of the store. */
  readonly fleet: {
    /** A worker, whose account is not that of the streams. */
    readonly worker: NatsConnectionOptions & { readonly inboxPrefix: string };
    /** A user with every right in that account. */
    readonly master: NatsConnectionOptions;
  } | null;
  /** As a store has it (nats_store.ts). */
  readonly domain: string | null;
  readonly timeoutMs: number;
  /** This machine's clock, whose difference from the broker's is measured. */
  readonly now: () => number;
}

export interface Probed {
  /** How far the broker's clock is ahead of this machine's; a few hundred milliseconds mean nothing. */
  readonly clockAheadMs: number;
  /** Whether a worker gets what is on a queue. */
  readonly canPull: boolean;
  /** Whether the workers' account has streams of its own, which a worker could reach. */
  readonly hasWorkersJetStream: boolean;
}

const TRY_MS = 2000;
const RETRY_MS = 250;
/** What a probe that was interrupted leaves behind is gone after this. */
const MAX_AGE_MS = 60_000;
const PULL_MS = 1000;
const PULLS = 3;

/** Throws a `LoraFleetError`: `unauthorized`, `timeout`, or what the broker refuses. */
export async function probeBroker({ store, fleet, domain, timeoutMs, now }: ProbeOptions): Promise<Probed> {
  await using open = new AsyncDisposableStack();
  const connect = async (options: NatsConnectionOptions): Promise<NatsConnection> => {
    const nc = await openConnection(options);
    open.defer(() => nc.close());
    return nc;
  };
  const nc = await connect(store);
  const name = `lf_probe_${crypto.randomUUID().slice(0, 8)}`;
  const subject = name.replaceAll("_", ".");
  const manager = await jetstreamManager(nc, { checkAPI: false, timeout: TRY_MS, ...inDomain(domain) });
  const deadline = systemClock.now() + timeoutMs;
  const retry = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await work();
      } catch (thrown) {
        if (!isTransient(thrown) || isWithoutJetStream(thrown) || systemClock.now() > deadline) {
          throw toLoraFleetError("cannot create a stream", thrown);
        }
      }
      await systemClock.sleep(RETRY_MS);
    }
  };
  const askedAt = now();
  const { created } = await retry(() =>
    manager.streams.add({
      ...{ name, subjects: [subject], retention: RetentionPolicy.Workqueue, storage: StorageType.Memory },
      ...{ num_replicas: 1, max_age: nanos(MAX_AGE_MS) },
    })
  );
  // Half of an answer that took its time is no delay of the clock.
  const clockAheadMs = Date.parse(created) - (askedAt + now()) / 2;
  open.defer(() => manager.streams.delete(name).then(() => {}, () => {}));
  if (fleet === null) return { clockAheadMs, canPull: true, hasWorkersJetStream: false };
  await retry(() =>
    manager.consumers.add(name, {
      ...{ durable_name: WORK_CONSUMER, ack_policy: AckPolicy.Explicit },
      // The first answer may be lost behind leaf nodes that learn of each other's inboxes at this moment.
      ack_wait: nanos(PULL_MS / 2),
    })
  );
  await retry(() =>
    jetstream(nc, inDomain(domain)).publish(subject, "probe", { msgID: name, timeout: TRY_MS })
  );
  const { worker, master } = fleet;
  return {
    clockAheadMs,
    canPull: await canPull(await connect(worker), name, worker.inboxPrefix),
    hasWorkersJetStream: await hasJetStream(await connect(master)),
  };
}

async function hasJetStream(nc: NatsConnection): Promise<boolean> {
  try {
    const answer = await nc.request("$JS.API.INFO", "", { timeout: TRY_MS });
    return answer.json<{ error?: unknown }>().error === undefined;
  } catch {
    return false;
  }
}

async function canPull(nc: NatsConnection, stream: string, inboxPrefix: string): Promise<boolean> {
  const pull = createPull(nc, { stream, consumer: WORK_CONSUMER, inboxPrefix, domain: null });
  for (let tries = 0; tries < PULLS; tries++) {
    const message = await pull(PULL_MS);
    if (message === null || statusOf(message) !== 0) continue;
    return await nc.request(message.reply!, "+ACK", { timeout: TRY_MS }).then(() => true, () => false);
  }
  return false;
}
