/**
 * The meeting point, as an interface: core messages (at most once, for gradients and announcements), a work
 * queue (at least once, for micro-batches), an append-only log with compare-and-set (for commits) and leases
 * (for the one coordinator that leads). `nats_bus.ts` is the real one, `memory_bus.ts` the one of unit tests
 * and the simulation; `bus_contract.ts` is run against both.
 */
export interface BusMessage {
  readonly subject: string;
  /** For reading alone: other receivers of the message may have the same memory. */
  readonly data: Uint8Array;
  /** Answers a request; without effect where nobody asked, or wants the answer anywhere but in an inbox. */
  respond(data: Uint8Array): void;
}

export interface Subscription {
  close(): void;
}

/** One message of a work queue: somebody must `ack` it, or it comes again after the queue's ackWait. */
export interface WorkItem {
  readonly subject: string;
  readonly data: Uint8Array;
  /** How often it was delivered, this time included. */
  readonly deliveryCount: number;
  ack(): Promise<void>;
  /** Gives it back at once. */
  nak(): void;
  /** Still at it: restarts ackWait. */
  working(): void;
}

export interface WorkQueue {
  /** Waits up to `timeoutMs` for the next item; null where none came. */
  pull(timeoutMs: number): Promise<WorkItem | null>;
}

export interface StreamEntry {
  readonly sequence: number;
  readonly data: Uint8Array;
}

export interface LeaseOptions {
  /** Unlike any other, also of the same process before. */
  readonly holder: string;
  /** Holders that are known to have ended, whose lease may be taken at once. */
  readonly succeeds?: readonly string[];
  /** How long the lease is held after each renewal; the same for all who want it. */
  readonly ttlMs: number;
}

/** What one of many may have for a while. Nobody else has it for as long as `isHeld()`. */
export interface Lease {
  /** Grows with each new holder. */
  readonly term: number;
  /** Whether nobody else can have it now; by the holder's own clock, so that it needs no answer to know. */
  isHeld(): boolean;
  /**
   * Holds it for another `ttlMs` from now on; after its end, too, where nobody has had it since. Rejects with code
   * `conflict` where somebody has, and it is lost for good, and with `timeout` where the broker does not answer.
   */
  renew(): Promise<void>;
  /** Gives it up, so that the next one need not wait for its end. Does not reject. */
  release(): Promise<void>;
}

export type BusStatus = "disconnected" | "reconnected";

/** Hears of what has no caller to throw at: a handler's exception, a right that the broker denies. */
export type BusErrorHandler = (message: string, thrown: unknown) => void;

/** What the broker keeps: work-queue streams, streams with compare-and-set, leases. */
export interface BusStore {
  /** Finds or creates the work-queue stream for these subjects. */
  ensureQueue(name: string, subjects: readonly string[], options: { ackWaitMs: number }): Promise<void>;
  deleteQueue(name: string): Promise<void>;
  /** Stores an item; a second one with the same `id` within two minutes is dropped. */
  enqueue(subject: string, data: Uint8Array, id: string): Promise<void>;
  /** Drops all items that wait under a subject (wildcards allowed). */
  purgeQueue(name: string, subject: string): Promise<void>;
  openQueue(name: string): Promise<WorkQueue>;
  /** Finds or creates the stream. */
  ensureStream(name: string, subject: string): Promise<void>;
  /** Appends and returns the new sequence; rejects with code `conflict` unless `expectedLast` is the newest. */
  append(subject: string, data: Uint8Array, expectedLast: number): Promise<number>;
  readStream(name: string): Promise<readonly StreamEntry[]>;
  deleteStream(name: string): Promise<void>;
  /** The lease of this name, or null while another holder has it. */
  acquireLease(name: string, options: LeaseOptions): Promise<Lease | null>;
}

export interface Bus extends BusStore {
  /** The largest message that the broker takes, in bytes. */
  readonly maxPayloadBytes: number;
  /**
   * Sends without confirmation. From the next turn of the event loop on the memory of `data` may be used again; what
   * is published while the connection is being made anew may then go out with what the memory holds by that time.
   * Throws a `LoraFleetError` when larger than `maxPayloadBytes`.
   */
  publish(subject: string, data: Uint8Array): void;
  /** `handler` runs for each message in order; what it throws is reported to the bus's `onError`. */
  subscribe(subject: string, handler: (message: BusMessage) => void): Subscription;
  /** Rejects with code `timeout` when nobody answers. */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Resolves when everything published so far has reached the broker. */
  flush(): Promise<void>;
  /** Called when the connection to the broker is lost or restored. */
  onStatus(handler: (status: BusStatus) => void): void;
  close(): Promise<void>;
}
