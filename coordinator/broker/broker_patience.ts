/** Stores something at a broker that may be away, full, or without its streams: retries until it is stored or obsolete. */
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import { type Limits, pauseMs } from "../../shared/protocol/limits.ts";
import { isBrokersFault } from "./broker_health.ts";

export interface BrokerPatience {
  /**
   * Repeats `work`, which must be idempotent, until it succeeds; null once `isOver`. Rejects with any error that is not the
   * broker's fault.
   */
  insist<T>(work: () => Promise<T>, isOver: () => boolean): Promise<T | null>;
}

interface BrokerPatienceOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
  /** Called for each failure, and with null for the success after it. */
  readonly report: (problem: string | null) => void;
  /** Recreates what is gone, before each retry. Its rejection is the next failure. */
  readonly mend: () => Promise<void>;
}

export function createBrokerPatience(options: BrokerPatienceOptions): BrokerPatience {
  const { clock, limits, signal, report, mend } = options;
  return {
    async insist(work, isOver) {
      try {
        for (let failures = 0; !isOver() && !signal.aborted;) {
          try {
            if (failures > 0) await mend();
            return await work();
          } catch (thrown) {
            if (!isBrokersFault(thrown)) throw thrown;
            report(messageOf(thrown));
            failures++;
          }
          await clock.sleep(pauseMs(failures, limits), signal).catch(() => {});
        }
        return null;
      } finally {
        report(null);
      }
    },
  };
}
