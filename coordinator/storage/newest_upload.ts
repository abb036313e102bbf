/** Uploads of one file run one at a time, and the newest wins: it aborts the one before it and waits for its end. */
import { LoraFleetError, quote } from "../../shared/errors.ts";

/** Runs `work` once the earlier upload to `path` has ended; `signal` aborts it as soon as a newer one arrives. */
type NewestUpload = <T>(path: string, name: string, work: (signal: AbortSignal) => Promise<T>) => Promise<T>;

export function createNewestUpload(): NewestUpload {
  /** By path. */
  const running = new Map<string, { readonly stop: AbortController; readonly ended: Promise<unknown> }>();

  return async (path, name, work) => {
    const stop = new AbortController();
    const before = running.get(path);
    const ended = Promise.withResolvers<void>();
    const self = { stop, ended: ended.promise };
    running.set(path, self);
    before?.stop.abort(new LoraFleetError("conflict", `a newer upload of ${quote(name)} replaced this one`));
    try {
      await before?.ended;
      stop.signal.throwIfAborted();
      return await work(stop.signal);
    } finally {
      ended.resolve();
      if (running.get(path) === self) running.delete(path);
    }
  };
}

/** The body's chunks. Throws the signal's reason even while the next chunk does not arrive. */
export async function* untilAborted(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const iterator = body[Symbol.asyncIterator]();
  let isOpen = true;
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise]);
      if (next.done) {
        isOpen = false;
        return;
      }
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not awaited: a stalled body does not end either.
    if (isOpen) iterator.return?.()?.catch?.(() => {});
  }
}
