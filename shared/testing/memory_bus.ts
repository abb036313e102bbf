/**
 * A broker inside the process, for unit tests and the simulation. Messages are delivered one at a time, in the order of
 * their publication, each after the code that published it has had its turn; time is the clock's. So the same program
 * gives the same sequence of events every time.
 */
import type { Clock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import { INBOXES } from "../protocol/subjects.ts";
import type { Bus, BusErrorHandler, BusMessage, BusStatus, Subscription } from "../bus/bus.ts";
import { assertPayload } from "../bus/bus_checks.ts";
import { createMemoryLeases } from "./memory_lease.ts";
import { createMemoryStore } from "./memory_store.ts";
import { createSubjectTree } from "./subject_tree.ts";

export interface MemoryBroker {
  /** A client of its own, as a process would be. */
  connect(name: string, onError?: BusErrorHandler): Bus;
}

interface Receiver {
  readonly take: (subject: string, data: Uint8Array, reply: string | null) => void;
  open: boolean;
}

/** A reason of its own for each abort would cost a stack trace. */
const ANSWERED = new LoraFleetError("aborted", "the request is over");

/** As in `nats_bus.ts`: a request that nobody was there to hear is sent again. */
const NO_RESPONDERS_WAIT_MS = 50;

export function createMemoryBroker(options: { clock: Clock; maxPayloadBytes?: number }): MemoryBroker {
  const { clock, maxPayloadBytes = 2 ** 20 } = options;
  const receivers = createSubjectTree<Receiver>();
  const store = createMemoryStore(clock);
  const leases = createMemoryLeases(clock);
  const deliveries: (() => void)[] = [];
  let inboxes = 0;

  /** Runs deliveries from a microtask, so that a publisher finishes what it is doing first. */
  function deliver(delivery: () => void): void {
    if (deliveries.push(delivery) === 1) queueMicrotask(runDeliveries);
  }

  function runDeliveries(): void {
    // A delivery may add others; they follow in the same run.
    for (const delivery of deliveries) delivery();
    deliveries.length = 0;
  }

  /** Whether anybody listens. */
  function send(subject: string, data: Uint8Array, reply: string | null): boolean {
    const heard = receivers.match(subject);
    if (heard.length === 0) return false;
    // The publisher may use its memory again; receivers only read, so that one copy is enough for thousands of them.
    const copy = new Uint8Array(data);
    for (const receiver of heard) {
      deliver(() => {
        if (receiver.open) receiver.take(subject, copy, reply);
      });
    }
    return true;
  }

  function listen(subject: string, take: Receiver["take"]): Subscription {
    const receiver: Receiver = { take, open: true };
    const remove = receivers.add(subject, receiver);
    const close = () => {
      receiver.open = false;
      remove();
    };
    return { close };
  }

  function connect(name: string, onError: BusErrorHandler = rethrow): Bus {
    const subscriptions = new Set<Subscription>();
    const openRequests = new Set<AbortController>();
    const leaving = new AbortController();

    const assertOpen = (attempted: string) => {
      if (!leaving.signal.aborted) return;
      throw new LoraFleetError("aborted", `cannot ${attempted}: the bus of ${quote(name)} is closed`);
    };

    function publish(subject: string, data: Uint8Array): void {
      assertOpen(`publish to ${quote(subject)}`);
      assertPayload(subject, data, maxPayloadBytes);
      send(subject, data, null);
    }

    function subscribe(subject: string, handler: (message: BusMessage) => void): Subscription {
      assertOpen(`subscribe to ${quote(subject)}`);
      const listening = listen(subject, (subject, data, reply) => {
        const respond = (answer: Uint8Array) => {
          if (reply === null || leaving.signal.aborted) return;
          assertPayload(reply, answer, maxPayloadBytes);
          send(reply, answer, null);
        };
        try {
          handler({ subject, data, respond });
        } catch (thrown) {
          onError(`the handler of ${quote(subject)} failed`, thrown);
        }
      });
      const subscription = {
        close: () => {
          subscriptions.delete(subscription);
          listening.close();
        },
      };
      subscriptions.add(subscription);
      return subscription;
    }

    async function request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
      assertOpen(`ask ${quote(subject)}`);
      assertPayload(subject, data, maxPayloadBytes);
      const inbox = `${INBOXES}.${inboxes++}`;
      const answer = Promise.withResolvers<Uint8Array>();
      const answered = new AbortController();
      const listening = listen(inbox, (_subject, data) => answer.resolve(data));
      const stop = answered.signal;
      openRequests.add(answered);
      const deadline = clock.now() + timeoutMs;
      const late = (async () => {
        while (!send(subject, data, inbox) && clock.now() < deadline) {
          await clock.sleep(Math.min(NO_RESPONDERS_WAIT_MS, deadline - clock.now()), stop);
        }
        await clock.sleep(deadline - clock.now(), stop);
        throw new LoraFleetError("timeout", `nobody answered on ${quote(subject)} within ${timeoutMs} ms`);
      })();
      try {
        return await Promise.race([answer.promise, late]);
      } catch (thrown) {
        assertOpen(`ask ${quote(subject)}`);
        throw thrown;
      } finally {
        late.catch(() => {});
        openRequests.delete(answered);
        answered.abort(ANSWERED);
        listening.close();
      }
    }

    function flush(): Promise<void> {
      return new Promise((resolve) => deliver(resolve));
    }

    async function close(): Promise<void> {
      if (leaving.signal.aborted) return;
      await flush();
      leaving.abort();
      for (const request of openRequests) request.abort(ANSWERED);
      for (const subscription of subscriptions) subscription.close();
    }

    return {
      maxPayloadBytes,
      publish,
      subscribe,
      request,
      flush,
      ...store.client({ signal: leaving.signal, assertOpen, maxPayloadBytes }),
      ...leases.client(assertOpen),
      onStatus: (_handler: (status: BusStatus) => void) => {},
      close,
    };
  }

  return { connect };
}

/** An error that nobody asked to hear ends the program, as an unhandled rejection does. */
const rethrow: BusErrorHandler = (_message, thrown) => {
  queueMicrotask(() => {
    throw thrown;
  });
};
