/** One work queue of the broker in memory: what a JetStream consumer does, in plain data and the clock's time. */
import type { WorkItem } from "../bus/bus.ts";
import type { Clock } from "../clock.ts";
import { LoraFleetError } from "../errors.ts";
import { subjectMatches } from "./subject_tree.ts";

interface StoredItem {
  readonly subject: string;
  readonly data: Uint8Array;
  deliveryCount: number;
  state: "waiting" | "delivered" | "gone";
  /** Ends the wait for an ack. */
  handled: AbortController | null;
}

/** One shared reason: a new one for each abort would cost a stack trace. */
const HANDLED = new LoraFleetError("aborted", "the item or the pull is done with");

const DUPLICATE_WINDOW_MS = 120_000;

export class MemoryQueue {
  subjects: readonly string[];
  ackWaitMs: number;
  readonly #clock: Clock;
  /** In the order in which they are delivered next. */
  readonly #waiting: StoredItem[] = [];
  readonly #items = new Set<StoredItem>();
  readonly #pulls: ((item: StoredItem) => void)[] = [];
  /** When each id was stored. */
  readonly #ids = new Map<string, number>();
  readonly #deleted = new AbortController();

  constructor(clock: Clock, subjects: readonly string[], ackWaitMs: number) {
    this.#clock = clock;
    this.subjects = subjects;
    this.ackWaitMs = ackWaitMs;
  }

  enqueue(subject: string, data: Uint8Array, id: string): void {
    const now = this.#clock.now();
    for (const [known, storedAt] of this.#ids) {
      if (storedAt + DUPLICATE_WINDOW_MS > now) break;
      this.#ids.delete(known);
    }
    if (this.#ids.has(id)) return;
    this.#ids.set(id, now);
    const item: StoredItem = {
      subject,
      data: data.slice(),
      deliveryCount: 0,
      state: "waiting",
      handled: null,
    };
    this.#items.add(item);
    this.#waiting.push(item);
    this.#serve();
  }

  purge(subject: string): void {
    for (const item of this.#items) if (subjectMatches(subject, item.subject)) this.#remove(item);
  }

  /** Removes all items and ends all pulls. */
  delete(): void {
    for (const item of this.#items) this.#remove(item);
    this.#deleted.abort();
  }

  /**
   * The next item, or null after `timeoutMs`. `find` gives the queue, and throws once it is deleted or the client, whose
   * signal `left` is, has left.
   */
  static async pull(find: () => MemoryQueue, left: AbortSignal, timeoutMs: number): Promise<WorkItem | null> {
    const queue = find();
    const given = Promise.withResolvers<void>();
    const got: { item: StoredItem | null } = { item: null };
    const take = (item: StoredItem) => {
      got.item = item;
      given.resolve();
    };
    queue.#pulls.push(take);
    queue.#serve();
    const over = new AbortController();
    const end = () => over.abort(HANDLED);
    const enders = [left, queue.#deleted.signal];
    for (const signal of enders) {
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
    }
    const late = queue.#clock.sleep(timeoutMs, over.signal);
    try {
      await Promise.race([given.promise, late]);
    } catch (thrown) {
      if (got.item?.state === "waiting") queue.#waiting.unshift(got.item);
      find();
      throw thrown;
    } finally {
      late.catch(() => {});
      for (const signal of enders) signal.removeEventListener("abort", end);
      end();
      const at = queue.#pulls.indexOf(take);
      if (at >= 0) queue.#pulls.splice(at, 1);
      queue.#serve();
    }
    return got.item?.state === "waiting" ? queue.#deliver(got.item) : null;
  }

  /** Gives waiting items to open pulls. */
  #serve(): void {
    while (this.#waiting.length > 0 && this.#pulls.length > 0) {
      const item = this.#waiting.shift()!;
      if (item.state === "waiting") this.#pulls.shift()!(item);
    }
  }

  #deliver(item: StoredItem): WorkItem {
    item.state = "delivered";
    const deliveryCount = ++item.deliveryCount;
    this.#startAckWait(item);
    // Of an earlier delivery only the ack counts, as in JetStream.
    const isNewest = () => item.state === "delivered" && item.deliveryCount === deliveryCount;
    return {
      subject: item.subject,
      data: item.data.slice(),
      deliveryCount,
      ack: () => {
        this.#remove(item);
        return Promise.resolve();
      },
      nak: () => {
        if (isNewest()) this.#redeliver(item);
      },
      working: () => {
        if (isNewest()) this.#startAckWait(item);
      },
    };
  }

  #startAckWait(item: StoredItem): void {
    item.handled?.abort(HANDLED);
    const handled = new AbortController();
    item.handled = handled;
    void this.#clock.sleep(this.ackWaitMs, handled.signal).then(() => this.#redeliver(item), () => {});
  }

  /** Puts the item before all that wait, as JetStream does. */
  #redeliver(item: StoredItem): void {
    if (item.state !== "delivered") return;
    item.handled?.abort(HANDLED);
    item.state = "waiting";
    this.#waiting.unshift(item);
    this.#serve();
  }

  #remove(item: StoredItem): void {
    item.state = "gone";
    item.handled?.abort(HANDLED);
    this.#items.delete(item);
  }
}
