/** A clock that moves only when it is told to, for tests and simulations. */
import { setImmediate } from "node:timers";
import type { Clock } from "../clock.ts";

export interface FakeClock extends Clock {
  /**
   * Moves on, waking every sleeper at its time and in the order of their times, and lets each do what it can do at once
   * before the next is woken.
   */
  advance(milliseconds: number): Promise<void>;
  /** When the next sleeper is to be woken; null where all are awake. */
  readonly nextWakeAt: number | null;
}

interface Sleeper {
  readonly at: number;
  readonly order: number;
  readonly wake: () => void;
}

export function createFakeClock(startMs = 0): FakeClock {
  let now = startMs;
  let slept = 0;
  const heap: Sleeper[] = [];
  const gone = new Set<Sleeper>();
  const before = (a: Sleeper, b: Sleeper) => a.at < b.at || (a.at === b.at && a.order < b.order);

  /** The earliest sleeper that has not given up. */
  function first(): Sleeper | null {
    while (heap.length > 0 && gone.delete(heap[0]!)) pop();
    return heap[0] ?? null;
  }

  function push(sleeper: Sleeper): void {
    let at = heap.push(sleeper) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(sleeper, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = sleeper;
  }

  function pop(): void {
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    while (true) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }

  function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        gone.add(sleeper);
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        at: now + Math.max(0, milliseconds),
        order: slept++,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      push(sleeper);
    });
  }

  async function advance(milliseconds: number): Promise<void> {
    const end = now + milliseconds;
    await settle();
    for (let sleeper = first(); sleeper !== null && sleeper.at <= end; sleeper = first()) {
      pop();
      now = sleeper.at;
      sleeper.wake();
      await settle();
    }
    now = end;
  }

  return {
    now: () => now,
    sleep,
    advance,
    get nextWakeAt() {
      return first()?.at ?? null;
    },
  };
}

/** One turn of the event loop: every chain of promises that waits for nothing else runs to its end before it. */
function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
