/** What the bus stores, over JetStream: logs with compare-and-set, the management of queues and logs, leases. */
import { jetstream, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { JetStreamManager, JetStreamPublishOptions, PubAck, StreamConfig } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import type { BusErrorHandler, BusStore, StreamEntry } from "./bus.ts";
import { assertPayload, plainBytes } from "./bus_checks.ts";
import { isNotFound, isTransient, toLoraFleetError } from "./nats_errors.ts";
import { acquireNatsLease } from "./nats_lease.ts";
import { assertQueue, ensureConsumer, openNatsQueue } from "./nats_queue.ts";

/** Within this time the broker drops a second message with the same id. */
const DUPLICATE_WINDOW_MS = 120_000;
/** One try of a request; the deadline is for all of them together. */
const TRY_TIMEOUT_MS = 2000;
const FIRST_RETRY_WAIT_MS = 50;
const LONGEST_RETRY_WAIT_MS = 1000;
/** Entries of a log that are asked for at once. */
const READ_WINDOW = 32;

export function createNatsStore(
  nc: NatsConnection,
  options: {
    readonly deadlineMs: number;
    readonly maxPayloadBytes: () => number;
    readonly onError: BusErrorHandler;
    readonly inboxPrefix: string;
    /** Whether nothing is allowed but to take items from queues. */
    readonly mayOnlyPull: boolean;
  },
): BusStore {
  const { deadlineMs, maxPayloadBytes, onError, inboxPrefix, mayOnlyPull } = options;
  const js = jetstream(nc);
  let manager: Promise<JetStreamManager> | null = null;
  // Without the check of the API, which asks for a right that workers need not have.
  const manage = () => manager ??= jetstreamManager(nc, { checkAPI: false, timeout: TRY_TIMEOUT_MS });

  /** Repeats what can be repeated until it is answered. All that is done here may be done twice. */
  async function insist<T>(attempted: string, tryOnce: (timeoutMs: number) => Promise<T>): Promise<T> {
    const deadline = systemClock.now() + deadlineMs;
    for (let waitMs = FIRST_RETRY_WAIT_MS;; waitMs = Math.min(LONGEST_RETRY_WAIT_MS, 2 * waitMs)) {
      try {
        return await tryOnce(Math.min(TRY_TIMEOUT_MS, Math.max(1, deadline - systemClock.now())));
      } catch (thrown) {
        if (!isTransient(thrown)) throw toLoraFleetError(attempted, thrown);
        if (systemClock.now() + waitMs >= deadline) {
          throw new LoraFleetError(
            "timeout",
            `${attempted}: the broker has not acknowledged it within ${deadlineMs} ms: ${messageOf(thrown)}`,
            { cause: thrown },
          );
        }
        await systemClock.sleep(waitMs);
      }
    }
  }

  /** The same id at every try, so that an acknowledgement that was lost does not store the message twice. */
  function store(
    attempted: string,
    subject: string,
    data: Uint8Array,
    publishOptions: Partial<JetStreamPublishOptions>,
  ): Promise<PubAck> {
    assertPayload(subject, data, maxPayloadBytes());
    return insist(attempted, (timeout) => js.publish(subject, data, { ...publishOptions, timeout }));
  }

  /** Creates the stream, or makes the one of that name like this. */
  async function ensureStream(name: string, config: Partial<StreamConfig>): Promise<void> {
    const full = {
      ...config,
      name,
      storage: StorageType.File,
      allow_direct: true,
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    };
    await insist(`cannot create the stream ${quote(name)}`, async () => {
      const { streams } = await manage();
      const exists = await streams.info(name).then(() => true, (thrown) => {
        if (isNotFound(thrown)) return false;
        throw thrown;
      });
      await (exists ? streams.update(name, full) : streams.add(full));
    });
  }

  async function deleteStream(name: string): Promise<void> {
    await insist(`cannot delete the stream ${quote(name)}`, async () => {
      try {
        await (await manage()).streams.delete(name);
      } catch (thrown) {
        if (!isNotFound(thrown)) throw thrown;
      }
    });
  }

  /**
   * One by one: a purge with a filter moves the consumer behind every item of the queue (nats-server 2.9.10), so that items
   * of other subjects would never be delivered.
   */
  async function deleteItems(
    { streams, direct }: JetStreamManager,
    name: string,
    subject: string,
  ): Promise<void> {
    const { state } = await streams.info(name);
    for (let seq = state.first_seq;;) {
      const item = await direct.getMessage(name, { next_by_subj: subject, seq });
      if (item === null) return;
      // Null or an error where it was acknowledged meanwhile: gone is gone.
      await streams.deleteMessage(name, item.seq, false).catch((thrown) => {
        if (isTransient(thrown)) throw thrown;
      });
      seq = item.seq + 1;
    }
  }

  async function readStream(name: string): Promise<readonly StreamEntry[]> {
    const attempted = `cannot read the log ${quote(name)}`;
    const { streams } = await manage();
    const { state } = await insist(attempted, () => streams.info(name));
    const entries: StreamEntry[] = [];
    for (let first = state.first_seq; first <= state.last_seq && state.messages > 0; first += READ_WINDOW) {
      const count = Math.min(READ_WINDOW, state.last_seq - first + 1);
      const some = await Promise.all(Array.from(
        { length: count },
        (_, index) => insist(attempted, () => streams.getMessage(name, { seq: first + index })),
      ));
      for (const entry of some) {
        if (entry !== null) entries.push({ sequence: entry.seq, data: plainBytes(entry.data) });
      }
    }
    return entries;
  }

  return {
    ensureQueue: async (name, subjects, { ackWaitMs }) => {
      await ensureStream(name, { subjects: [...subjects], retention: RetentionPolicy.Workqueue });
      await insist(
        `cannot create the queue ${quote(name)}`,
        async () => ensureConsumer(await manage(), name, ackWaitMs),
      );
    },
    deleteQueue: deleteStream,
    enqueue: async (subject, data, id) => {
      await store(`cannot enqueue ${quote(id)} on ${quote(subject)}`, subject, data, { msgID: id });
    },
    purgeQueue: async (name, subject) => {
      await insist(
        `cannot purge ${quote(subject)} from the queue ${quote(name)}`,
        async () => deleteItems(await manage(), name, subject),
      );
    },
    openQueue: async (name) => {
      const manager = mayOnlyPull ? null : await manage();
      if (manager !== null) {
        await insist(`cannot open the queue ${quote(name)}`, () => assertQueue(manager, name));
      }
      return openNatsQueue(nc, { name, manager, inboxPrefix, onError });
    },
    ensureStream: (name, subject) =>
      ensureStream(name, { subjects: [subject], retention: RetentionPolicy.Limits, deny_delete: true }),
    append: async (subject, data, expectedLast) => {
      const ack = await store(
        `cannot append to ${quote(subject)} behind entry ${expectedLast}`,
        subject,
        data,
        { msgID: crypto.randomUUID(), expect: { lastSequence: expectedLast } },
      );
      return ack.seq;
    },
    readStream,
    deleteStream: deleteStream,
    acquireLease: (name, lease) =>
      insist(
        `cannot acquire the lease ${quote(name)}`,
        (timeout) => acquireNatsLease(nc, name, lease, timeout),
      ),
  };
}
