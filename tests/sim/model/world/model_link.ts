/**
 * The link between a model worker and the broker: its delay, and its faults. As `link.ts`, but with callbacks in place of
 * promises, for thousands of workers.
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
  /** Whether the process runs and its network is up. */
  readonly isReachable: boolean;
  /** Loses core messages in both directions and doubles sent ones; changes none. */
  weather: Weather;
  isCut: boolean;
  stall(): void;
  resume(): void;
  kill(): void;
  /** In the process's own time: a stalled process runs it when it resumes, a dead one never. */
  after(milliseconds: number, run: () => void): void;
  publish(subject: string, data: Uint8Array): void;
  /** Subscribes to announcements. */
  hear(subject: string, take: (data: Uint8Array) => void): Subscription;
  /** Answers requests. */
  serve(subject: string, answer: (request: Uint8Array) => Uint8Array): Subscription;
  /** One try of a request; null if no answer comes in time. */
  ask(subject: string, data: Uint8Array, timeoutMs: number, take: (answer: Uint8Array | null) => void): void;
  /** One pull; null if nothing comes in time. An item that comes later goes back to the broker. */
  pull(queue: string, timeoutMs: number, take: (item: WorkItem | null) => void): void;
}

export interface ModelLinkOptions {
  readonly bus: Bus;
  readonly timetable: Timetable;
  readonly random: Prng;
  readonly speed: LinkSpeed;
  /** Called at every change of `isReachable`. */
  readonly onReach: () => void;
}

/** After the broker's own time for a pull. */
const PULL_SLACK_MS = 500;

export function createModelLink(options: ModelLinkOptions): ModelLink {
  return new FaultyLink(options);
}

class FaultyLink implements ModelLink {
  readonly speed: LinkSpeed;
  weather = FAIR;
  bytesReceived = 0;
  readonly #options: ModelLinkOptions;
  /** What a stalled process does when it resumes. */
  readonly #waiting: (() => void)[] = [];
  #isStalled = false;
  #isDead = false;
  #isCut = false;
  #queue: { readonly name: string; readonly opened: Promise<WorkQueue> } | null = null;

  constructor(options: ModelLinkOptions) {
    this.#options = options;
    this.speed = options.speed;
  }

  get isReachable(): boolean {
    return !this.#isDead && !this.#isStalled && !this.#isCut;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  set isCut(next: boolean) {
    this.#isCut = next;
    this.#options.onReach();
  }

  stall(): void {
    this.#isStalled = true;
    this.#options.onReach();
  }

  resume(): void {
    if (!this.#isStalled) return;
    this.#isStalled = false;
    this.#options.onReach();
    for (const run of this.#waiting.splice(0)) this.#inProcess(run);
  }

  kill(): void {
    this.#isDead = true;
    this.#waiting.length = 0;
    this.#options.onReach();
  }

  after(milliseconds: number, run: () => void): void {
    this.#options.timetable.after(milliseconds, () => this.#inProcess(run));
  }

  publish(subject: string, data: Uint8Array): void {
    this.#send(() => this.#options.bus.publish(subject, data));
  }

  hear(subject: string, take: (data: Uint8Array) => void): Subscription {
    return this.#subscribe(subject, take);
  }

  serve(subject: string, answer: (request: Uint8Array) => Uint8Array): Subscription {
    return this.#subscribe(subject, (request, respond) => {
      const bytes = answer(request);
      this.#send(() => respond(bytes));
    });
  }

  ask(subject: string, data: Uint8Array, timeoutMs: number, take: (answer: Uint8Array | null) => void): void {
    const finish = once(take);
    this.#send(() => {
      this.#options.bus.request(subject, data, timeoutMs).then(
        (answer) => this.#receive(answer.length, () => finish.call(answer)),
        () => {},
      );
    });
    this.after(timeoutMs, () => finish.call(null));
  }

  pull(name: string, timeoutMs: number, take: (item: WorkItem | null) => void): void {
    const finish = once(take);
    this.after(timeoutMs + 2 * this.speed.latencyMs + PULL_SLACK_MS, () => finish.call(null));
    this.#send(() => {
      if (finish.isOver) return;
      if (this.#queue?.name !== name) this.#queue = { name, opened: this.#options.bus.openQueue(name) };
      this.#queue.opened.then((opened) => opened.pull(timeoutMs)).then(
        (item) => {
          if (item === null) this.#receive(0, () => finish.call(null));
          else {this.#receive(item.data.length, () =>
              finish.isOver ? item.nak() : finish.call(wrapItem(item, (deliver) =>
                this.#send(deliver))));}
        },
        // A job that starts again makes the queue anew; this pull times out.
        () => this.#queue = null,
      );
    });
  }

  #subscribe(
    subject: string,
    take: (data: Uint8Array, respond: (answer: Uint8Array) => void) => void,
  ): Subscription {
    let isOpen = true;
    const subscription = this.#options.bus.subscribe(subject, ({ data, respond }) => {
      this.bytesReceived += data.length;
      // One closure for each of thousands of subscribers.
      later(this.#options, () => {
        if (!isOpen || this.#isLost()) return;
        if (this.#isStalled) this.#waiting.push(() => isOpen && take(data, respond));
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

  /** To the broker. */
  #send(deliver: () => void): void {
    if (this.#isLost()) return;
    const { weather } = this;
    const { random } = this.#options;
    const isDoubled = weather.duplicate > 0 && random.uniform() < weather.duplicate;
    later(this.#options, deliver);
    if (isDoubled) later(this.#options, deliver);
  }

  /** From the broker. */
  #receive(size: number, take: () => void): void {
    this.bytesReceived += size;
    later(this.#options, () => {
      if (!this.#isLost()) this.#inProcess(take);
    });
  }

  /** In the process, at once or when it resumes. */
  #inProcess(run: () => void): void {
    if (this.#isDead) return;
    if (this.#isStalled) this.#waiting.push(run);
    else run();
  }

  #isLost(): boolean {
    const { drop } = this.weather;
    return this.#isDead || this.#isCut || (drop > 0 && this.#options.random.uniform() < drop);
  }
}

/** Runs after the link's latency. */
function later({ speed: { latencyMs }, timetable }: ModelLinkOptions, run: () => void): void {
  if (latencyMs > 0) timetable.after(latencyMs, run);
  else run();
}

function wrapItem(item: WorkItem, send: (deliver: () => void) => void): WorkItem {
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

interface Once<T> {
  readonly isOver: boolean;
  call(value: T): void;
}

/** Calls `take` the first time only. */
function once<T>(take: (value: T) => void): Once<T> {
  let isOver = false;
  return {
    get isOver() {
      return isOver;
    },
    call: (value) => {
      if (isOver) return;
      isOver = true;
      take(value);
    },
  };
}
