/**
 * What a misbehaving worker costs: a message that no worker of ours would send is a line in the log, then one line for many of
 * them, and with too many the worker is thrown out. A large one is dropped before anybody reads it (decision 0019).
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";

export interface FloodGuard {
  /**
   * Whether a message is to be read. One that is larger than its kind may be, or that comes faster than any worker speaks,
   * counts as `bad`.
   */
  admits(worker: string, subject: string, byteLength: number, maxBytes: number): boolean;
  /** A message could not be read. */
  bad(worker: string, subject: string, thrown: unknown, byteLength: number): void;
}

export interface FloodGuardOptions {
  readonly clock: Pick<Clock, "now">;
  readonly limits: Limits;
  readonly onDefect: (message: string, thrown: unknown) => void;
  /** Told once for each worker. */
  readonly onFlood: (worker: string, reason: string) => void;
}

/** Of one worker. */
interface Count {
  /** The second that `messages` are of. */
  second: number;
  messages: number;
  /** Since when `weight` is counted. */
  since: number;
  weight: number;
  /** Lines are told at most so often. */
  toldAt: number;
  untold: number;
  isFlooding: boolean;
}

/** So many bytes that nobody wanted weigh as much as a message. */
const BYTES_OF_WEIGHT = 65_536;
/** Whoever invents ids shall not fill the memory: with another broker than the own one that is possible. */
const MOST_WORKERS = 20_000;

export function createFloodGuard({ clock, limits, onDefect, onFlood }: FloodGuardOptions): FloodGuard {
  const counts = new Map<string, Count>();

  function countOf(worker: string): Count {
    const known = counts.get(worker);
    if (known !== undefined) return known;
    if (counts.size >= MOST_WORKERS) counts.clear();
    const now = clock.now();
    const count: Count = {
      ...{ second: 0, messages: 0, since: now, weight: 0, toldAt: -Infinity, untold: 0, isFlooding: false },
    };
    counts.set(worker, count);
    return count;
  }

  function bad(worker: string, subject: string, thrown: unknown, byteLength: number): void {
    const count = countOf(worker);
    const now = clock.now();
    if (now - count.since >= limits.floodWindowMs) Object.assign(count, { since: now, weight: 0 });
    count.weight += 1 + byteLength / BYTES_OF_WEIGHT;
    if (now - count.toldAt < limits.floodLogIntervalMs) count.untold++;
    else {
      const more = count.untold === 0 ? "" : `; so were ${count.untold} more of ${worker} before it`;
      onDefect(`a message to ${subject} is ignored${more}`, thrown);
      Object.assign(count, { toldAt: now, untold: 0 });
    }
    if (count.weight < limits.badMessagesUntilCut || count.isFlooding) return;
    count.isFlooding = true;
    const seconds = Math.max(1, Math.round((now - count.since) / 1000));
    const reason = `${worker} has sent too many messages that no worker sends: ${
      Math.round(count.weight)
    } within ${seconds} s, each 64 KiB of them counted once more; the last: ${messageOf(thrown)}`;
    onFlood(worker, reason);
  }

  return {
    admits(worker, subject, byteLength, maxBytes) {
      const count = countOf(worker);
      if (byteLength > maxBytes) {
        const what = `${byteLength} bytes, a message of its kind has ${maxBytes} at most`;
        bad(worker, subject, new LoraFleetError("corrupt", what), byteLength);
        return false;
      }
      const second = Math.floor(clock.now() / 1000);
      if (count.second !== second) Object.assign(count, { second, messages: 0 });
      if (++count.messages <= limits.mostMessagesPerSecond) return true;
      const what = `more than ${limits.mostMessagesPerSecond} messages in a second`;
      bad(worker, subject, new LoraFleetError("corrupt", what), byteLength);
      return false;
    },
    bad,
  };
}
