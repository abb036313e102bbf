/** What the bus stores, over JetStream: work queues, streams with compare-and-set, leases. */
import { jetstream, type JetStreamPublishOptions, type PubAck, RetentionPolicy } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { quote } from "../errors.ts";
import { INBOXES } from "../protocol/subjects.ts";
import type { BusErrorHandler, BusStore } from "./bus.ts";
import { assertPayload } from "./bus_checks.ts";
import { acquireNatsLease, leaseStream } from "./nats_lease.ts";
import { assertQueue, ensureConsumer, openNatsQueue } from "./nats_queue.ts";
import type { OnReplicas } from "./nats_replicas.ts";
import { inDomain, NatsStreams } from "./nats_streams.ts";

export interface NatsStoreOptions {
  readonly inboxPrefix?: string;
  /** Whether pulling from queues is this client's only right to streams. */
  readonly mayOnlyPull?: boolean;
  readonly onError: BusErrorHandler;
  /** How long requests to the store are repeated before they reject. */
  readonly storeDeadlineMs?: number;
  /** The domain of JetStream whose streams these are, if the broker is a leaf node of it; null or left out: the broker's own. */
  readonly domain?: string | null;
  /** Receives the number of copies that a stream has. */
  readonly onReplicas?: OnReplicas;
}

const STORE_DEADLINE_MS = 30_000;

export function createNatsStore(
  nc: NatsConnection,
  maxPayloadBytes: () => number,
  options: NatsStoreOptions,
): BusStore {
  const { storeDeadlineMs = STORE_DEADLINE_MS, onError, onReplicas } = options;
  const { inboxPrefix = INBOXES, mayOnlyPull = false, domain = null } = options;
  const js = jetstream(nc, inDomain(domain));
  const streams = new NatsStreams(nc, storeDeadlineMs, onReplicas, domain);

  /** Every try has the same id, so that a lost ack does not store the message twice. */
  function store(
    attempted: string,
    subject: string,
    data: Uint8Array,
    options: Partial<JetStreamPublishOptions>,
  ): Promise<PubAck> {
    assertPayload(subject, data, maxPayloadBytes());
    return streams.retry(attempted, (timeout) => js.publish(subject, data, { ...options, timeout }));
  }

  return {
    ensureQueue: async (name, subjects, { ackWaitMs }) => {
      await streams.ensure(name, { subjects: [...subjects], retention: RetentionPolicy.Workqueue });
      await streams.retry(
        `cannot create the queue ${quote(name)}`,
        async () => ensureConsumer(await streams.manager(), name, ackWaitMs),
      );
    },
    deleteQueue: (name) => streams.delete(name),
    enqueue: async (subject, data, msgID) => {
      await store(`cannot enqueue ${quote(msgID)} on ${quote(subject)}`, subject, data, { msgID });
    },
    purgeQueue: (name, subject) => streams.purge(name, subject),
    openQueue: async (name) => {
      const manager = mayOnlyPull ? null : await streams.manager();
      if (manager !== null) {
        await streams.retry(`cannot open the queue ${quote(name)}`, () => assertQueue(manager, name));
      }
      return openNatsQueue(nc, { name, manager, inboxPrefix, onError, domain });
    },
    ensureStream: (name, subject) =>
      streams.ensure(name, { subjects: [subject], retention: RetentionPolicy.Limits, deny_delete: true }),
    append: async (subject, data, lastSequence) => {
      const attempted = `cannot append to ${quote(subject)} behind entry ${lastSequence}`;
      const options = { msgID: crypto.randomUUID(), expect: { lastSequence } };
      return (await store(attempted, subject, data, options)).seq;
    },
    readStream: (name) => streams.read(name),
    deleteStream: (name) => streams.delete(name),
    acquireLease: async (name, options) => {
      const lease = await streams.retry(
        `cannot acquire the lease ${quote(name)}`,
        (timeout) => acquireNatsLease(nc, name, options, timeout, domain),
      );
      // It may be that of an earlier, smaller broker.
      if (lease !== null) streams.replicateSoon(leaseStream(name));
      return lease;
    },
  };
}
