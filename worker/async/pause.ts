import type { Clock } from "../../shared/clock.ts";

/**
 * Waits until the time is up or `early` resolves. Rejects with the signal's reason.
 * @returns whether `early` came first
 */
export async function pauseUnless(
  clock: Clock,
  milliseconds: number,
  early: Promise<unknown>,
  signal: AbortSignal,
): Promise<boolean> {
  const done = new AbortController();
  const late = clock.sleep(milliseconds, AbortSignal.any([signal, done.signal])).then(() => false);
  try {
    return await Promise.race([early.then(() => true), late]);
  } finally {
    late.catch(() => {});
    done.abort();
  }
}
