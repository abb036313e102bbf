/** A worker's subscriptions: frames for it alone, and the finished ranges of the round's other members. */
import type { BusMessage, Subscription } from "../../shared/bus/bus.ts";
import type { AllReduceOptions } from "./all_reduce_interface.ts";

type Options = Pick<AllReduceOptions, "bus" | "subjects" | "self">;

export class RoundSubscriptions {
  readonly #options: Options;
  readonly #onMessage: (message: BusMessage) => void;
  readonly #direct: readonly Subscription[];
  /** By subject. */
  readonly #allGathers = new Map<string, Subscription>();

  constructor(options: Options, onMessage: (message: BusMessage) => void) {
    const { bus, subjects, self } = options;
    this.#options = options;
    this.#onMessage = onMessage;
    this.#direct = [subjects.reduceScatterTo(self), subjects.ackTo(self)]
      .map((subject) => bus.subscribe(subject, onMessage));
  }

  /** Subscribes member by member, so that a worker does not receive its own finished range. */
  listenTo(generation: number, members: readonly string[]): void {
    const { bus, subjects, self } = this.#options;
    const others = members.filter((member) => member !== self);
    const wanted = new Set(others.map((member) => subjects.allGather(generation, member)));
    for (const [subject, subscription] of this.#allGathers) {
      if (wanted.has(subject)) continue;
      subscription.close();
      this.#allGathers.delete(subject);
    }
    for (const subject of wanted) {
      if (this.#allGathers.has(subject)) continue;
      this.#allGathers.set(subject, bus.subscribe(subject, this.#onMessage));
    }
  }

  close(): void {
    for (const subscription of [...this.#direct, ...this.#allGathers.values()]) subscription.close();
  }
}
