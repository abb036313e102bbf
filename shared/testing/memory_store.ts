/** Work queues and streams of the broker in memory: what JetStream does for `nats_bus.ts`. */
import type { BusStore, StreamEntry } from "../bus/bus.ts";
import { assertPayload } from "../bus/bus_checks.ts";
import type { Clock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import { MemoryQueue } from "./memory_queue.ts";
import { subjectMatches } from "./subject_tree.ts";

/** What a client's calls depend on. */
interface Client {
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal;
  readonly assertOpen: (attempted: string) => void;
  readonly maxPayloadBytes: number;
}

interface Stream {
  subject: string;
  readonly entries: StreamEntry[];
}

export class MemoryStore {
  readonly #clock: Clock;
  readonly #queues = new Map<string, MemoryQueue>();
  readonly #streams = new Map<string, Stream>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The store as one client sees it. Every call resolves or rejects; none throws. */
  client({ signal, assertOpen, maxPayloadBytes }: Client): Omit<BusStore, "acquireLease"> {
    const run = <T>(attempted: string, action: () => T): Promise<T> =>
      new Promise((resolve) => {
        assertOpen(attempted);
        resolve(action());
      });
    return {
      ensureQueue: (name, subjects, { ackWaitMs }) =>
        run(`create the queue ${quote(name)}`, () => this.#ensureQueue(name, [...subjects], ackWaitMs)),
      deleteQueue: (name) =>
        run(`delete the queue ${quote(name)}`, () => {
          this.#queues.get(name)?.delete();
          this.#queues.delete(name);
        }),
      enqueue: (subject, data, id) =>
        run(`enqueue ${quote(id)}`, () => {
          assertPayload(subject, data, maxPayloadBytes);
          this.#queueOf(subject, id).enqueue(subject, data, id);
        }),
      purgeQueue: (name, subject) =>
        run(`purge the queue ${quote(name)}`, () => this.#queue(name, "purge").purge(subject)),
      openQueue: (name) =>
        run(`open the queue ${quote(name)}`, () => {
          this.#queue(name, "open");
          const find = () => {
            assertOpen(`pull from the queue ${quote(name)}`);
            return this.#queue(name, "pull from");
          };
          return { pull: (timeoutMs) => MemoryQueue.pull(find, signal, timeoutMs) };
        }),
      ensureStream: (name, subject) =>
        run(`create the stream ${quote(name)}`, () => {
          const stream = this.#streams.get(name);
          if (stream === undefined) this.#streams.set(name, { subject, entries: [] });
          else stream.subject = subject;
        }),
      append: (subject, data, expectedLast) =>
        run(`append to ${quote(subject)}`, () => {
          assertPayload(subject, data, maxPayloadBytes);
          return this.#append(subject, data, expectedLast);
        }),
      readStream: (name) => run(`read the stream ${quote(name)}`, () => this.#read(name)),
      deleteStream: (name) => run(`delete the stream ${quote(name)}`, () => void this.#streams.delete(name)),
    };
  }

  #queue(name: string, attempted: string): MemoryQueue {
    const queue = this.#queues.get(name);
    if (queue !== undefined) return queue;
    throw new LoraFleetError("not_found", `cannot ${attempted} the queue ${quote(name)}: there is none`);
  }

  #queueOf(subject: string, id: string): MemoryQueue {
    for (const queue of this.#queues.values()) {
      if (queue.subjects.some((pattern) => subjectMatches(pattern, subject))) return queue;
    }
    throw new LoraFleetError("timeout", `cannot enqueue ${quote(id)}: no queue takes ${quote(subject)}`);
  }

  #ensureQueue(name: string, subjects: readonly string[], ackWaitMs: number): void {
    const queue = this.#queues.get(name);
    if (queue !== undefined) Object.assign(queue, { subjects, ackWaitMs });
    else this.#queues.set(name, new MemoryQueue(this.#clock, subjects, ackWaitMs));
  }

  #append(subject: string, data: Uint8Array, expectedLast: number): number {
    const stream = this.#streams.values().find((stream) => subjectMatches(stream.subject, subject));
    const attempted = `cannot append to ${quote(subject)} behind entry ${expectedLast}`;
    if (stream === undefined) throw new LoraFleetError("timeout", `${attempted}: there is no such stream`);
    const last = stream.entries.length;
    if (last !== expectedLast) {
      throw new LoraFleetError("conflict", `${attempted}: the newest entry is ${last}`);
    }
    return stream.entries.push({ sequence: last + 1, data: data.slice() });
  }

  #read(name: string): StreamEntry[] {
    const stream = this.#streams.get(name);
    if (stream !== undefined) {
      return stream.entries.map(({ sequence, data }) => ({ sequence, data: data.slice() }));
    }
    throw new LoraFleetError("not_found", `cannot read the stream ${quote(name)}: there is none`);
  }
}
