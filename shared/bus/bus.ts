/**
 * The bus as an interface: core messages (at most once, for gradients and announcements), work queues (at least once,
 * for micro-batches), streams with compare-and-set (for commits) and leases (for the one coordinator that leads).
 * `nats_bus.ts` implements it for real, `memory_bus.ts` for unit tests and the simulation; both keep `bus_contract/`.
 */
export interface BusMessage {
  readonly subject: string;
  /** Read only: other receivers may share the memory. */
  readonly data: Uint8Array;
  /** Answers a request; no effect if the message is none, or wants its answer outside the inboxes. */
  respond(data: Uint8Array): void;
}

export interface Subscription {
  close(): void;
}

/** One message of a work queue, redelivered after the queue's ackWait without an `ack`. */
export interface WorkItem {
  readonly subject: string;
  readonly data: Uint8Array;
  /** This delivery included. */
  readonly deliveryCount: number;
  ack(): Promise<void>;
  /** Has it redelivered at once. */
  nak(): void;
  /** Restarts ackWait. */
  working(): void;
}

export interface WorkQueue {
  /** The next item, or null if none comes within `timeoutMs`. */
  pull(timeoutMs: number): Promise<WorkItem | null>;
}

export interface StreamEntry {
  readonly sequence: number;
  readonly data: Uint8Array;
}

export interface LeaseOptions {
  /** Unique, also among earlier holders of the same process. */
  readonly holder: string;
  /** Holders known to have ended: their lease may be taken at once. */
  readonly succeeds?: readonly string[];
  /** How long each renewal holds; the same for all who want the lease. */
  readonly ttlMs: number;
}

/** An exclusive right for a while: no one else has it as long as `isHeld()`. */
export interface Lease {
  /** Grows with each new holder. */
  readonly term: number;
  /** Decided by the holder's own clock, without asking the broker. */
  isHeld(): boolean;
  /**
   * Holds it for `ttlMs` from now on, even after it expired, unless there was a new holder: then it is lost for good
   * and this rejects with code `conflict`. Rejects with `timeout` if the broker does not answer.
   */
  renew(): Promise<void>;
  /** Ends it at once. Never rejects. */
  release(): Promise<void>;
}

export type BusStatus = "disconnected" | "reconnected";

/** Receives errors without a caller: a handler's exception, a right that the broker denies. */
export type BusErrorHandler = (message: string, thrown: unknown) => void;

/** What the broker keeps: work-queue streams, streams with compare-and-set, leases. */
export interface BusStore {
  /** Finds or creates the work-queue stream for these subjects. */
  ensureQueue(name: string, subjects: readonly string[], options: { ackWaitMs: number }): Promise<void>;
  deleteQueue(name: string): Promise<void>;
  /** A second item with the same `id` within two minutes is dropped. */
  enqueue(subject: string, data: Uint8Array, id: string): Promise<void>;
  /** Drops all waiting items of a subject (wildcards allowed). */
  purgeQueue(name: string, subject: string): Promise<void>;
  openQueue(name: string): Promise<WorkQueue>;
  /** Finds or creates the stream. */
  ensureStream(name: string, subject: string): Promise<void>;
  /** The new sequence; rejects with code `conflict` unless `expectedLast` is the newest. */
  append(subject: string, data: Uint8Array, expectedLast: number): Promise<number>;
  readStream(name: string): Promise<readonly StreamEntry[]>;
  deleteStream(name: string): Promise<void>;
  /** Null while a different holder has it. */
  acquireLease(name: string, options: LeaseOptions): Promise<Lease | null>;
}

export interface Bus extends BusStore {
  readonly maxPayloadBytes: number;
  /**
   * Sends without confirmation. The memory of `data` may be reused from the next turn of the event loop on; a message
   * published while reconnecting may then go out with the new content. Throws if larger than `maxPayloadBytes`.
   */
  publish(subject: string, data: Uint8Array): void;
  /** Calls `handler` for each message in order; the bus's `onError` receives what it throws. */
  subscribe(subject: string, handler: (message: BusMessage) => void): Subscription;
  /** Rejects with code `timeout` without an answer. */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Resolves once everything published so far has reached the broker. */
  flush(): Promise<void>;
  /** Called when the connection to the broker is lost or restored. */
  onStatus(handler: (status: BusStatus) => void): void;
  close(): Promise<void>;
}
