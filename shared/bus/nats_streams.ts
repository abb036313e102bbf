/** JetStream streams: their management, and what needs more than one request to the broker. */
import { type JetStreamManager, jetstreamManager, StorageType, type StreamConfig } from "@nats-io/jetstream";
import { nanos, type NatsConnection } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import type { StreamEntry } from "./bus.ts";
import { plainBytes } from "./bus_checks.ts";
import { isNotFound, isTransient, toLoraFleetError } from "./nats_errors.ts";
import {
  createReplicaKeeper,
  createReplicated,
  growReplicas,
  type OnReplicas,
  reasonOf,
  type ReplicaKeeper,
} from "./nats_replicas.ts";

/** Within this time the broker drops a second message with the same id. */
const DUPLICATE_WINDOW_MS = 120_000;
/** One try of a request; the deadline is for all of them together. */
const TRY_TIMEOUT_MS = 2000;
const FIRST_RETRY_WAIT_MS = 50;
const LONGEST_RETRY_WAIT_MS = 1000;
/** Entries of a stream that are requested at once. */
const READ_WINDOW = 32;

/** As the client's options have it. */
export function inDomain(domain: string | null): { readonly domain?: string } {
  return domain === null ? {} : { domain };
}

export class NatsStreams {
  readonly #nc: NatsConnection;
  readonly #deadlineMs: number;
  readonly #replicas: ReplicaKeeper;
  readonly #domain: string | null;
  #manager: Promise<JetStreamManager> | null = null;

  /** @param domain whose streams; null: those of the server that we reach */
  constructor(
    nc: NatsConnection,
    deadlineMs: number,
    onReplicas: OnReplicas = () => {},
    domain: string | null = null,
  ) {
    this.#nc = nc;
    this.#deadlineMs = deadlineMs;
    this.#domain = domain;
    this.#replicas = createReplicaKeeper(nc, () => this.manager(), onReplicas, { domain });
  }

  manager(): Promise<JetStreamManager> {
    // The check of the API needs a right that workers need not have.
    return this.#manager ??= jetstreamManager(this.#nc, {
      ...{ checkAPI: false, timeout: TRY_TIMEOUT_MS },
      ...inDomain(this.#domain),
    });
  }

  /** Repeats a request until the broker answers it. A request may be carried out twice. */
  async retry<T>(attempted: string, tryOnce: (timeoutMs: number) => Promise<T>): Promise<T> {
    const deadline = systemClock.now() + this.#deadlineMs;
    for (let waitMs = FIRST_RETRY_WAIT_MS;; waitMs = Math.min(LONGEST_RETRY_WAIT_MS, 2 * waitMs)) {
      try {
        return await tryOnce(Math.min(TRY_TIMEOUT_MS, Math.max(1, deadline - systemClock.now())));
      } catch (cause) {
        if (!isTransient(cause)) throw toLoraFleetError(attempted, cause);
        if (systemClock.now() + waitMs >= deadline) {
          const problem = `the broker has not acknowledged it within ${this.#deadlineMs} ms`;
          throw new LoraFleetError("timeout", `${attempted}: ${problem}: ${reasonOf(this.#nc, cause)}`, {
            cause,
          });
        }
        await systemClock.sleep(waitMs);
      }
    }
  }

  /** Creates the stream, or gives the existing one this configuration. */
  async ensure(name: string, config: Partial<StreamConfig>): Promise<void> {
    const full = {
      ...config,
      name,
      storage: StorageType.File,
      allow_direct: true,
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    };
    await this.retry(`cannot create the stream ${quote(name)}`, async () => {
      const manager = await this.manager();
      const found = await manager.streams.info(name).catch((thrown) => {
        if (isNotFound(thrown)) return null;
        throw thrown;
      });
      if (found === null) {
        this.#replicas.note(
          name,
          await createReplicated(this.#nc, full, (config) => manager.streams.add(config), this.#domain),
        );
      } else {
        this.#replicas.note(
          name,
          await growReplicas(this.#nc, manager, await manager.streams.update(name, full), this.#domain),
        );
      }
    });
  }

  /** Gives an existing stream as many copies as a cluster has servers for, soon, or once it has them. */
  replicateSoon(name: string): void {
    this.#replicas.growSoon(name);
  }

  async delete(name: string): Promise<void> {
    this.#replicas.forget(name);
    await this.retry(`cannot delete the stream ${quote(name)}`, async () => {
      try {
        await (await this.manager()).streams.delete(name);
      } catch (thrown) {
        if (!isNotFound(thrown)) throw thrown;
      }
    });
  }

  /**
   * Deletes items one by one: a purge with a filter moves the consumer behind every item of the queue (nats-server
   * 2.9.10), so that items of other subjects would never be delivered.
   */
  async purge(name: string, subject: string): Promise<void> {
    await this.retry(`cannot purge ${quote(subject)} from the queue ${quote(name)}`, async () => {
      const { streams, direct } = await this.manager();
      const { state } = await streams.info(name);
      for (let seq = state.first_seq;;) {
        const item = await direct.getMessage(name, { next_by_subj: subject, seq });
        if (item === null) return;
        // Null or an error if it was acknowledged meanwhile.
        await streams.deleteMessage(name, item.seq, false).catch((thrown) => {
          if (isTransient(thrown)) throw thrown;
        });
        seq = item.seq + 1;
      }
    });
  }

  async read(name: string): Promise<readonly StreamEntry[]> {
    const attempted = `cannot read the stream ${quote(name)}`;
    const { streams } = await this.manager();
    const { state } = await this.retry(attempted, () => streams.info(name));
    const entries: StreamEntry[] = [];
    for (let first = state.first_seq; first <= state.last_seq && state.messages > 0; first += READ_WINDOW) {
      const length = Math.min(READ_WINDOW, state.last_seq - first + 1);
      const read = (_: unknown, i: number) =>
        this.retry(attempted, () => streams.getMessage(name, { seq: first + i }));
      for (const entry of await Promise.all(Array.from({ length }, read))) {
        if (entry !== null) entries.push({ sequence: entry.seq, data: plainBytes(entry.data) });
      }
    }
    return entries;
  }
}
