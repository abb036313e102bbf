/** Waiting that ends early. */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";

/** The promise's outcome, or the signal's reason if that comes first; a later outcome is ignored. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  promise.catch(() => {});
  try {
    return await Promise.race([aborted.promise, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Runs `work` with a signal that aborts with `signal`, or with code `timeout` after `milliseconds`. */
export async function withDeadline<T>(
  clock: Clock,
  milliseconds: number,
  what: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const done = new AbortController();
  const message = `${what} took longer than ${milliseconds} ms`;
  clock.sleep(milliseconds, done.signal).then(
    () => late.abort(new LoraFleetError("timeout", message)),
    () => {},
  );
  const either = AbortSignal.any([signal, late.signal]);
  try {
    return await unlessAborted(work(either), either);
  } finally {
    done.abort();
    // Stops the rest of the work.
    late.abort();
  }
}
