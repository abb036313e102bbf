/**
 * Writes that survive a full disk: they queue in order, are retried with pauses, and succeed once there is room. With an
 * empty queue a write happens at once, in the caller's turn of the event loop.
 */
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { LIMITS, pauseMs } from "../../../shared/protocol/limits.ts";

export interface PatientWrites {
  /**
   * Runs `write` once all earlier writes are done and the disk accepts it; resolves with its result. `write` decides on the
   * state at that time. Rejects with any error but code `storage`, or with the reason of an aborted `signal`, unwritten.
   */
  add<T>(write: () => T, signal?: AbortSignal): Promise<T>;
  /** Retries the queue once more and drops the rest; the next process recovers from the last stored state. */
  close(): void;
}

export interface PatientWritesOptions {
  readonly clock: Clock;
  /** Called once when writes begin to wait and once when the queue is empty again. */
  readonly log: (level: "info" | "error", message: string) => void;
  /** Called when the queue is empty again; writes that it adds come next. */
  readonly onOver?: (waitedMs: number) => void;
}

interface Waiting {
  readonly write: () => void;
  readonly drop: (reason: unknown) => void;
  readonly signal: AbortSignal | null;
}

const CLOSED = new LoraFleetError("aborted", "the coordinator is stopping");

export function createPatientWrites({ clock, log, onOver }: PatientWritesOptions): PatientWrites {
  const queue: Waiting[] = [];
  const closing = new AbortController();

  /** Writes until the disk refuses; returns its error, or null once the queue is empty. */
  function flush(): unknown {
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      if (next.signal?.aborted) next.drop(next.signal.reason);
      else {
        try {
          next.write();
        } catch (thrown) {
          return thrown;
        }
      }
      queue.shift();
    }
    return null;
  }

  async function keepTrying(first: unknown): Promise<void> {
    const since = clock.now();
    log("error", `${messageOf(first)}; records wait for room, and none is lost`);
    for (let failures = 1; flush() !== null; failures++) {
      await clock.sleep(pauseMs(failures, LIMITS), closing.signal);
    }
    const waitedMs = clock.now() - since;
    log("info", `all records are written after ${Math.round(waitedMs / 1000)} s`);
    onOver?.(waitedMs);
  }

  return {
    add<T>(write: () => T, signal?: AbortSignal): Promise<T> {
      const outcome = Promise.withResolvers<T>();
      const waiting: Waiting = {
        signal: signal ?? null,
        drop: outcome.reject,
        write: () => {
          try {
            outcome.resolve(write());
          } catch (thrown) {
            if (isRetryable(thrown)) throw thrown;
            outcome.reject(thrown);
          }
        },
      };
      if (closing.signal.aborted) return Promise.reject(CLOSED);
      queue.push(waiting);
      const failure = queue.length > 1 ? null : flush();
      if (queue.length === 0) return outcome.promise;
      // An abort rejects at once.
      signal?.addEventListener("abort", () => waiting.drop(signal.reason), { once: true });
      if (failure !== null) keepTrying(failure).catch(() => {});
      return outcome.promise;
    },
    close() {
      closing.abort(CLOSED);
      flush();
      for (const { drop } of queue.splice(0)) drop(CLOSED);
    },
  };
}

/** Repeats `work`, which must leave nothing behind when it fails, until the disk has room. */
export async function untilThereIsRoom<T>(
  clock: Clock,
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 1;; failures++) {
    try {
      return await work();
    } catch (thrown) {
      if (!isRetryable(thrown)) throw thrown;
    }
    await clock.sleep(pauseMs(failures, LIMITS), signal);
  }
}

function isRetryable(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && thrown.code === "storage";
}
