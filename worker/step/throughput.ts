/** Tokens per second over the last half minute, without the noise of one micro-batch. */
import type { Clock } from "../../shared/clock.ts";

const WINDOW_MS = 30_000;

export interface Throughput {
  /** Call it for each finished micro-batch. */
  add(tokenCount: number): void;
  readonly microBatchesDone: number;
  readonly tokensPerSecond: number;
}

export function createThroughput(clock: Clock): Throughput {
  let microBatchesDone = 0;
  const recent: { readonly at: number; readonly tokenCount: number }[] = [];
  const startedAt = clock.now();
  const forgetOld = () => {
    while (recent.length > 0 && recent[0]!.at <= clock.now() - WINDOW_MS) recent.shift();
  };
  return {
    add: (tokenCount) => {
      microBatchesDone++;
      forgetOld();
      recent.push({ at: clock.now(), tokenCount });
    },
    get microBatchesDone() {
      return microBatchesDone;
    },
    get tokensPerSecond() {
      forgetOld();
      // A worker younger than the window must not look slow.
      const seconds = Math.min(WINDOW_MS, clock.now() - startedAt) / 1000;
      const tokenCount = recent.reduce((sum, entry) => sum + entry.tokenCount, 0);
      return seconds > 0 ? tokenCount / seconds : 0;
    },
  };
}
