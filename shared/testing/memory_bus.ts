/**
 * A broker inside the process, for unit tests and the simulation. Messages are delivered one at a time, in the order of
 * their publication, each after the code that published it has had its turn; time is the clock's. So the same program
 * gives the same sequence of events every time.
 */
import type { Bus, BusErrorHandler, BusMessage, Subscription } from "../bus/bus.ts";
import { assertPayload } from "../bus/bus_checks.ts";
import type { Clock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import { INBOXES } from "../protocol/subjects.ts";
import { createMemoryLeases } from "./memory_lease.ts";
import { MemoryRoutes } from "./memory_routes.ts";
import { MemoryStore } from "./memory_store.ts";

export interface MemoryBroker {
  /** A client of its own, as a process would be. */
  connect(name: string, onError?: BusErrorHandler): Bus;
}

/** One shared reason: a new one for each abort would cost a stack trace. */
const ANSWERED = new LoraFleetError("aborted", "the request is over");

/** As in `nats_core.ts`: a request without a subscriber is sent again. */
const NO_RESPONDERS_WAIT_MS = 50;

export function createMemoryBroker(
  { clock, maxPayloadBytes = 2 ** 20 }: { clock: Clock; maxPayloadBytes?: number },
): MemoryBroker {
  const routes = new MemoryRoutes();
  const store = new MemoryStore(clock);
  const leases = createMemoryLeases(clock);

  function connect(name: string, onError: BusErrorHandler = rethrow): Bus {
    const client = new MemoryClient(name, { clock, maxPayloadBytes, routes, onError });
    const assertOpen = (attempted: string) => client.assertOpen(attempted);
    return {
      maxPayloadBytes,
      publish: (subject, data) => client.publish(subject, data),
      subscribe: (subject, handler) => client.subscribe(subject, handler),
      request: (subject, data, timeoutMs) => client.request(subject, data, timeoutMs),
      flush: () => client.flush(),
      ...store.client({ signal: client.signal, assertOpen, maxPayloadBytes }),
      ...leases.client(assertOpen),
      onStatus: () => {},
      close: () => client.close(),
    };
  }

  return { connect };
}

interface MemoryClientOptions {
  readonly clock: Clock;
  readonly maxPayloadBytes: number;
  readonly routes: MemoryRoutes;
  readonly onError: BusErrorHandler;
}

/** One client's core messages. */
class MemoryClient {
  readonly #name: string;
  readonly #options: MemoryClientOptions;
  readonly #subscriptions = new Set<Subscription>();
  readonly #openRequests = new Set<AbortController>();
  readonly #leaving = new AbortController();

  constructor(name: string, options: MemoryClientOptions) {
    this.#name = name;
    this.#options = options;
  }

  /** Aborts when the client closes. */
  get signal(): AbortSignal {
    return this.#leaving.signal;
  }

  assertOpen(attempted: string): void {
    if (!this.signal.aborted) return;
    throw new LoraFleetError("aborted", `cannot ${attempted}: the bus of ${quote(this.#name)} is closed`);
  }

  publish(subject: string, data: Uint8Array): void {
    this.assertOpen(`publish to ${quote(subject)}`);
    this.#send(subject, data);
  }

  subscribe(subject: string, handler: (message: BusMessage) => void): Subscription {
    this.assertOpen(`subscribe to ${quote(subject)}`);
    const { routes, onError } = this.#options;
    const listening = routes.listen(subject, (subject, data, reply) => {
      const respond = (answer: Uint8Array) => {
        if (reply !== null && !this.signal.aborted) this.#send(reply, answer);
      };
      try {
        handler({ subject, data, respond });
      } catch (thrown) {
        onError(`the handler of ${quote(subject)} failed`, thrown);
      }
    });
    const subscription = {
      close: () => {
        this.#subscriptions.delete(subscription);
        listening.close();
      },
    };
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { routes, maxPayloadBytes } = this.#options;
    this.assertOpen(`ask ${quote(subject)}`);
    assertPayload(subject, data, maxPayloadBytes);
    const inbox = `${INBOXES}.${routes.nextInbox()}`;
    const answer = Promise.withResolvers<Uint8Array>();
    const answered = new AbortController();
    const listening = routes.listen(inbox, (_subject, data) => answer.resolve(data));
    this.#openRequests.add(answered);
    const late = this.#sendUntil(subject, data, inbox, timeoutMs, answered.signal);
    try {
      return await Promise.race([answer.promise, late]);
    } catch (thrown) {
      this.assertOpen(`ask ${quote(subject)}`);
      throw thrown;
    } finally {
      late.catch(() => {});
      this.#openRequests.delete(answered);
      answered.abort(ANSWERED);
      listening.close();
    }
  }

  flush(): Promise<void> {
    return new Promise((resolve) => this.#options.routes.deliver(resolve));
  }

  async close(): Promise<void> {
    if (this.signal.aborted) return;
    await this.flush();
    this.#leaving.abort();
    for (const request of this.#openRequests) request.abort(ANSWERED);
    for (const subscription of this.#subscriptions) subscription.close();
  }

  #send(subject: string, data: Uint8Array): void {
    assertPayload(subject, data, this.#options.maxPayloadBytes);
    this.#options.routes.send(subject, data, null);
  }

  /** Sends a request until it has a subscriber; rejects with `timeout` after `timeoutMs`. */
  async #sendUntil(
    subject: string,
    data: Uint8Array,
    inbox: string,
    timeoutMs: number,
    stop: AbortSignal,
  ): Promise<never> {
    const { clock, routes } = this.#options;
    const deadline = clock.now() + timeoutMs;
    while (!routes.send(subject, data, inbox) && clock.now() < deadline) {
      await clock.sleep(Math.min(NO_RESPONDERS_WAIT_MS, deadline - clock.now()), stop);
    }
    await clock.sleep(deadline - clock.now(), stop);
    throw new LoraFleetError("timeout", `no answer on ${quote(subject)} within ${timeoutMs} ms`);
  }
}

/** An error without a handler ends the program, as an unhandled rejection does. */
const rethrow: BusErrorHandler = (_message, thrown) => {
  queueMicrotask(() => {
    throw thrown;
  });
};
