/**
 * Bounds what a misbehaving worker costs. A message that no worker of ours would send is logged, further ones are summed up in
 * one line, and too many of them get the worker cut off. Oversized messages are dropped unread (decision 0019).
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";

export interface FloodGuard {
  /** Whether to read a message. One above its kind's size limit, or above the rate of any worker of ours, counts as `bad`. */
  admits(worker: string, subject: string, byteLength: number, maxBytes: number): boolean;
  /** A message could not be read. */
  bad(worker: string, subject: string, thrown: unknown, byteLength: number): void;
}

/** What one worker has sent. */
interface Count {
  /** The second in which `messages` are counted. */
  second: number;
  messages: number;
  /** Start of the window in which `weight` is counted. */
  since: number;
  weight: number;
  loggedAt: number;
  /** Bad messages since then. */
  unlogged: number;
  isFlooding: boolean;
}

/** This many bytes of bad messages weigh as much as one message. */
const BYTES_OF_WEIGHT = 65_536;
/** Invented ids must not fill the memory; an external broker may let them pass. */
const MAX_WORKERS = 20_000;

export function createFloodGuard({ clock, limits, onDefect, onFlood }: {
  readonly clock: Pick<Clock, "now">;
  readonly limits: Limits;
  readonly onDefect: (message: string, thrown: unknown) => void;
  /** Called once per worker. */
  readonly onFlood: (worker: string, reason: string) => void;
}): FloodGuard {
  const counts = new Map<string, Count>();

  function countOf(worker: string): Count {
    const known = counts.get(worker);
    if (known !== undefined) return known;
    if (counts.size >= MAX_WORKERS) counts.clear();
    const count: Count = {
      ...{ second: 0, messages: 0, since: clock.now(), weight: 0 },
      ...{ loggedAt: -Infinity, unlogged: 0, isFlooding: false },
    };
    counts.set(worker, count);
    return count;
  }

  function bad(worker: string, subject: string, thrown: unknown, byteLength: number): void {
    const count = countOf(worker);
    const now = clock.now();
    if (now - count.since >= limits.floodWindowMs) Object.assign(count, { since: now, weight: 0 });
    count.weight += 1 + byteLength / BYTES_OF_WEIGHT;
    if (now - count.loggedAt < limits.floodLogIntervalMs) count.unlogged++;
    else {
      const more = count.unlogged === 0 ? "" : `; so were ${count.unlogged} more of ${worker} before it`;
      onDefect(`a message to ${subject} is ignored${more}`, thrown);
      Object.assign(count, { loggedAt: now, unlogged: 0 });
    }
    if (count.weight < limits.badMessagesUntilCut || count.isFlooding) return;
    count.isFlooding = true;
    const [weight, seconds] = [Math.round(count.weight), Math.max(1, Math.round((now - count.since) / 1000))];
    const reason =
      `${worker} has sent too many messages that no worker sends: ${weight} within ${seconds} s, each 64 KiB ` +
      `of them counted once more; the last: ${messageOf(thrown)}`;
    onFlood(worker, reason);
  }

  /** Why a message is not read; null if it is. */
  function refusal(worker: string, byteLength: number, maxBytes: number): string | null {
    const count = countOf(worker);
    if (byteLength > maxBytes) return `${byteLength} bytes, a message of its kind has ${maxBytes} at most`;
    const second = Math.floor(clock.now() / 1000);
    if (count.second !== second) Object.assign(count, { second, messages: 0 });
    const isWithinRate = ++count.messages <= limits.maxMessagesPerSecond;
    return isWithinRate ? null : `more than ${limits.maxMessagesPerSecond} messages in a second`;
  }

  return {
    admits(worker, subject, byteLength, maxBytes) {
      const reason = refusal(worker, byteLength, maxBytes);
      if (reason !== null) bad(worker, subject, new LoraFleetError("corrupt", reason), byteLength);
      return reason === null;
    },
    bad,
  };
}
