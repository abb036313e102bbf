import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";

/**
 * Resolves once everything sent before the call has reached the broker, subscriptions included. A broken connection rejects its
 * flush although it reconnects with its subscriptions, so the flush is retried. Rejects with the signal's reason.
 */
export async function flushed(
  buses: readonly Pick<Bus, "flush">[],
  clock: Clock,
  retryIntervalMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      await Promise.all(buses.map((bus) => bus.flush()));
      return;
    } catch {
      await clock.sleep(retryIntervalMs, signal);
    }
  }
}
