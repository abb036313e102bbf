/** Whether the broker knows this worker's subscriptions, over connections that break meanwhile. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";

/**
 * Resolves once everything sent before the call has reached the broker. A connection that breaks rejects its flush, although it
 * comes back with its subscriptions: only another flush can tell. Rejects with the signal's reason.
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
