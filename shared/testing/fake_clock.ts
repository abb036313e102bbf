/** A clock that moves only when `advance` is called, for tests and simulations. */
import { setImmediate } from "node:timers";
import type { Clock } from "../clock.ts";
import { type Sleeper, SleeperHeap } from "./sleeper_heap.ts";

export interface FakeClock extends Clock {
  /** Wakes every sleeper at its time, in order, and lets each do all it can do at once before the next one wakes. */
  advance(milliseconds: number): Promise<void>;
  /** When the next sleeper wakes; null if all are awake. */
  readonly nextWakeAt: number | null;
}

export function createFakeClock(startMs = 0): FakeClock {
  let now = startMs;
  let slept = 0;
  const sleepers = new SleeperHeap();

  function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        sleepers.abort(sleeper);
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
      sleepers.add(sleeper);
    });
  }

  async function advance(milliseconds: number): Promise<void> {
    const end = now + milliseconds;
    await settle();
    for (let next = sleepers.first(); next !== null && next.at <= end; next = sleepers.first()) {
      sleepers.removeFirst();
      now = next.at;
      next.wake();
      await settle();
    }
    now = end;
  }

  return {
    now: () => now,
    sleep,
    advance,
    get nextWakeAt() {
      return sleepers.first()?.at ?? null;
    },
  };
}

/** One turn of the event loop: every chain of promises that waits for nothing else runs to its end before it. */
function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
