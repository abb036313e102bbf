/**
 * Writes that are not given up where the disk is full: they wait in their order, are tried again with pauses, and go on by
 * themselves when there is room. While nothing waits, a write happens at once, in the caller's turn of the event loop.
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { LIMITS, pauseMs } from "../../shared/protocol/limits.ts";

export interface PatientWrites {
  /**
   * Runs `write` as soon as all writes before it are done and the disk takes it, and gives its result. It decides on what is so by
   * then. Rejects with what it throws that is not code `storage`, and with the reason of `signal`, if it has one, unwritten.
   */
  add<T>(write: () => T, signal?: AbortSignal): Promise<T>;
  /** Tries what waits once more, and drops the rest: the next process has to find out by itself. */
  close(): void;
}

export interface PatientWritesOptions {
  readonly clock: Clock;
  /** Told once when writes begin to wait, and once when all that has waited is written. */
  readonly log: (level: "info" | "error", message: string) => void;
  /** Told after how long all that has waited is written; what it adds is written next. */
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

  /** Writes what it can. False where the disk does not take the first one. */
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
    log("error", `${messageOf(first)}; the records wait, and nothing is lost`);
    for (let failures = 1; flush() !== null; failures++) {
      await clock.sleep(pauseMs(failures, LIMITS), closing.signal);
    }
    const waitedMs = clock.now() - since;
    log("info", `the records are written, after ${Math.round(waitedMs / 1000)} s`);
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
      if (queue.length > 1) {
        // Who gives up waiting is told at once.
        signal?.addEventListener("abort", () => waiting.drop(signal.reason), { once: true });
        return outcome.promise;
      }
      const failure = flush();
      if (failure !== null) {
        signal?.addEventListener("abort", () => waiting.drop(signal.reason), { once: true });
        keepTrying(failure).catch(() => {});
      }
      return outcome.promise;
    },
    close() {
      closing.abort(CLOSED);
      flush();
      for (const { drop } of queue.splice(0)) drop(CLOSED);
    },
  };
}

/** Repeats `work`, which leaves nothing behind where it fails, for as long as the disk has no room. */
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
