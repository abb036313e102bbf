/** The clock and the bus of a simulated process: both stop when it stalls, and the network loses, doubles or changes its messages. */
import type { Bus, Subscription, WorkItem, WorkQueue } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { Prng } from "../../shared/prng.ts";

/** Shares of a process's core messages, 0 to 1, that the network loses, doubles or changes. */
export interface Weather {
  readonly drop: number;
  readonly duplicate: number;
  readonly corrupt: number;
}

export const FAIR: Weather = { drop: 0, duplicate: 0, corrupt: 0 };

export interface Link {
  readonly clock: Clock;
  /** The process's side of a bus. */
  wrap(bus: Bus): Bus;
  weather: Weather;
  /** No traffic in either direction; the process runs on. */
  isCut: boolean;
  /** The process stands still: its clock stops, and messages to it wait. */
  stall(): void;
  resume(): void;
  /** The process is gone: nothing that it still does gets out. */
  kill(): void;
}

/** What a link does to traffic between its process and the bus. */
interface Traffic {
  /** A core message to the bus. */
  send(publish: (data: Uint8Array) => void, data: Uint8Array): void;
  /** A core message from the bus. */
  receive(deliver: () => void): void;
  /** A request that is answered. */
  reach<T>(ask: () => Promise<T>): Promise<T>;
  /** A message to the bus that neither weather nor a stall changes. */
  unlessGone(work: () => void): void;
}

export function createLink(clock: Clock, random: Prng): Link {
  let stalled: PromiseWithResolvers<void> | null = null;
  let isDead = false;
  const waiting: (() => void)[] = [];

  const link: Link = {
    weather: FAIR,
    isCut: false,
    clock: {
      now: () => clock.now(),
      async sleep(milliseconds, signal) {
        await clock.sleep(milliseconds, signal);
        while (stalled !== null) await stalled.promise;
      },
    },
    stall: () => void (stalled ??= Promise.withResolvers()),
    resume: () => {
      stalled?.resolve();
      stalled = null;
      for (const deliver of waiting.splice(0)) deliver();
    },
    kill: () => {
      isDead = true;
      link.resume();
    },
    wrap: (bus) => wrapBus(bus, traffic),
  };

  const traffic: Traffic = {
    send: (publish, data) => {
      if (isDead || link.isCut || random.uniform() < link.weather.drop) return;
      const copies = random.uniform() < link.weather.duplicate ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) publish(changed(data, link.weather.corrupt, random));
    },
    receive: (deliver) => {
      if (isDead || link.isCut) return;
      if (stalled === null) deliver();
      else waiting.push(deliver);
    },
    reach: async (ask) => {
      if (isDead) throw new LoraFleetError("aborted", "the process is dead");
      if (link.isCut) {
        await link.clock.sleep(1000);
        throw new LoraFleetError("timeout", "the network is cut");
      }
      const answer = await ask();
      while (stalled !== null) await stalled.promise;
      return answer;
    },
    unlessGone: (work) => {
      if (!isDead && !link.isCut) work();
    },
  };
  return link;
}

function wrapBus(bus: Bus, traffic: Traffic): Bus {
  const { send, reach } = traffic;
  return {
    ...bus,
    publish: (subject, data) => send((bytes) => bus.publish(subject, bytes), data),
    subscribe: (subject, handler) => subscribe(bus, traffic, subject, handler),
    request: (subject, data, timeoutMs) => reach(() => bus.request(subject, data, timeoutMs)),
    openQueue: async (name): Promise<WorkQueue> => {
      const queue = await reach(() => bus.openQueue(name));
      return {
        pull: async (timeoutMs) => {
          const item = await reach(() => queue.pull(timeoutMs));
          return item === null ? null : wrapItem(item, traffic);
        },
      };
    },
    enqueue: (...args) => reach(() => bus.enqueue(...args)),
    purgeQueue: (...args) => reach(() => bus.purgeQueue(...args)),
    append: (...args) => reach(() => bus.append(...args)),
    readStream: (name) => reach(() => bus.readStream(name)),
  };
}

function subscribe(
  bus: Bus,
  { send, receive }: Traffic,
  ...[subject, handler]: Parameters<Bus["subscribe"]>
): Subscription {
  let isOpen = true;
  const subscription = bus.subscribe(subject, (message) =>
    receive(() => {
      if (!isOpen) return;
      handler({ ...message, respond: (data) => send((bytes) => message.respond(bytes), data) });
    }));
  return {
    close: () => {
      isOpen = false;
      subscription.close();
    },
  };
}

function wrapItem(item: WorkItem, { reach, unlessGone }: Traffic): WorkItem {
  return {
    ...item,
    ack: () => reach(() => item.ack()),
    nak: () => unlessGone(() => item.nak()),
    working: () => unlessGone(() => item.working()),
  };
}

function changed(data: Uint8Array, share: number, random: Prng): Uint8Array {
  if (data.length === 0 || random.uniform() >= share) return data;
  const copy = data.slice();
  copy[random.below(copy.length)]! ^= 1 + random.below(255);
  return copy;
}
