/** How long the main thread's event loop stood still: proves that the GPU's thread does not hold up the heartbeats. */
import type { Clock } from "../../shared/clock.ts";

export interface EventLoopGap {
  /** The longest time between two ticks so far, less the tick itself. */
  readonly maxGapMs: number;
}

/** Ticks until the signal aborts. */
export function measureEventLoopGap(clock: Clock, tickMs: number, signal: AbortSignal): EventLoopGap {
  let maxGapMs = 0;
  const tick = async () => {
    for (let last = clock.now();;) {
      await clock.sleep(tickMs, signal);
      const now = clock.now();
      maxGapMs = Math.max(maxGapMs, now - last - tickMs);
      last = now;
    }
  };
  tick().catch(() => {});
  return {
    get maxGapMs() {
      return maxGapMs;
    },
  };
}
