/**
 * What stands between a model worker and the broker: the delay of its link, and the faults that happen to it. As `link.ts`, but
 * with callbacks in place of promises, for thousands of workers.
 */
import type { Bus, Subscription, WorkItem, WorkQueue } from "../../../../shared/bus/bus.ts";
import type { Prng } from "../../../../shared/prng.ts";
import { FAIR, type Weather } from "../../link.ts";
import type { LinkSpeed } from "./link_model.ts";
import type { Timetable } from "./timetable.ts";

export interface ModelLink {
  readonly speed: LinkSpeed;
  /** Bytes that the broker has sent here. */
  readonly bytesReceived: number;
  /** Whether the process runs and its network carries. */
  readonly isReachable: boolean;
  /** Of core messages in both directions some are lost and some sent out are doubled; none is changed. */
  weather: Weather;
  isCut: boolean;
  stall(): void;
  resume(): void;
  kill(): void;
  /** In the process's own time: a stalled one does it when it goes on, a dead one never. */
  after(milliseconds: number, run: () => void): void;
  publish(subject: string, data: Uint8Array): void;
  /** Hears announcements. */
  hear(subject: string, take: (data: Uint8Array) => void): Subscription;
  /** Answers requests. */
  serve(subject: string, answer: (request: Uint8Array) => Uint8Array): Subscription;
  /** One try of a request; null where no answer has come in time. */
  ask(subject: string, data: Uint8Array, timeoutMs: number, take: (answer: Uint8Array | null) => void): void;
  /** One pull; null where nothing has come. What comes later than that is lost until its time at the broker is over. */
  pull(queue: string, timeoutMs: number, take: (item: WorkItem | null) => void): void;
}

export interface ModelLinkOptions {
  readonly bus: Bus;
  readonly timetable: Timetable;
  readonly random: Prng;
  readonly speed: LinkSpeed;
  /** Told at every change of `isReachable`. */
  readonly onReach: () => void;
}

/** After the broker's own time for a pull. */
const PULL_SLACK_MS = 500;

export function createModelLink({ bus, timetable, random, speed, onReach }: ModelLinkOptions): ModelLink {
  const { latencyMs } = speed;
  const waiting: (() => void)[] = [];
  let isStalled = false;
  let isDead = false;
  let isCut = false;
  let weather = FAIR;
  let bytesReceived = 0;
  let queue: { readonly name: string; readonly opened: Promise<WorkQueue> } | null = null;

  const isLost = () => isDead || isCut || (weather.drop > 0 && random.uniform() < weather.drop);
  const later = (run: () => void) => latencyMs > 0 ? timetable.after(latencyMs, run) : run();

  /** In the process, or when it goes on. */
  function inProcess(run: () => void): void {
    if (isDead) return;
    if (isStalled) waiting.push(run);
    else run();
  }

  /** To the broker. */
  function send(deliver: () => void): void {
    if (isLost()) return;
    const isDoubled = weather.duplicate > 0 && random.uniform() < weather.duplicate;
    later(deliver);
    if (isDoubled) later(deliver);
  }

  /** From the broker. */
  function receive(size: number, take: () => void): void {
    bytesReceived += size;
    later(() => {
      if (!isLost()) inProcess(take);
    });
  }

  function after(milliseconds: number, run: () => void): void {
    timetable.after(milliseconds, () => inProcess(run));
  }

  function wrapItem(item: WorkItem): WorkItem {
    return {
      ...item,
      ack: () => {
        send(() => void item.ack());
        return Promise.resolve();
      },
      nak: () => send(() => item.nak()),
      working: () => send(() => item.working()),
    };
  }

  function hear(subject: string, take: (data: Uint8Array) => void): Subscription {
    return subscribe(subject, take);
  }

  function subscribe(
    subject: string,
    take: (data: Uint8Array, respond: (answer: Uint8Array) => void) => void,
  ): Subscription {
    let isOpen = true;
    const subscription = bus.subscribe(subject, ({ data, respond }) => {
      bytesReceived += data.length;
      // One closure for each of thousands who hear the same.
      later(() => {
        if (!isOpen || isLost()) return;
        if (isStalled) waiting.push(() => isOpen && take(data, respond));
        else take(data, respond);
      });
    });
    return {
      close: () => {
        isOpen = false;
        subscription.close();
      },
    };
  }

  const link: ModelLink = {
    speed,
    get bytesReceived() {
      return bytesReceived;
    },
    get isReachable() {
      return !isDead && !isStalled && !isCut;
    },
    get weather() {
      return weather;
    },
    set weather(next) {
      weather = next;
    },
    get isCut() {
      return isCut;
    },
    set isCut(next) {
      isCut = next;
      onReach();
    },
    stall: () => {
      isStalled = true;
      onReach();
    },
    resume: () => {
      if (!isStalled) return;
      isStalled = false;
      onReach();
      for (const run of waiting.splice(0)) inProcess(run);
    },
    kill: () => {
      isDead = true;
      waiting.length = 0;
      onReach();
    },
    after,
    publish: (subject, data) => send(() => bus.publish(subject, data)),
    hear,
    serve: (subject, answer) =>
      subscribe(subject, (request, respond) => {
        const bytes = answer(request);
        send(() => respond(bytes));
      }),
    ask: (subject, data, timeoutMs, take) => {
      let isOver = false;
      const finish = (answer: Uint8Array | null) => {
        if (isOver) return;
        isOver = true;
        take(answer);
      };
      send(() => {
        bus.request(subject, data, timeoutMs).then(
          (answer) => receive(answer.length, () => finish(answer)),
          () => {},
        );
      });
      after(timeoutMs, () => finish(null));
    },
    pull: (name, timeoutMs, take) => {
      let isOver = false;
      const finish = (item: WorkItem | null) => {
        if (isOver) return;
        isOver = true;
        take(item);
      };
      after(timeoutMs + 2 * latencyMs + PULL_SLACK_MS, () => finish(null));
      send(() => {
        if (isOver) return;
        if (queue?.name !== name) queue = { name, opened: bus.openQueue(name) };
        queue.opened.then((opened) => opened.pull(timeoutMs)).then(
          (item) => {
            if (item === null) receive(0, () => finish(null));
            else receive(item.data.length, () => isOver ? item.nak() : finish(wrapItem(item)));
          },
          // The queue is made anew when a job starts again; the pull's time goes by.
          () => queue = null,
        );
      });
    },
  };
  return link;
}
