/**
 * How long the coordinator could have heard nobody: its process slept, its event loop was held up, it had no
 * connection to the broker, or it was not certain to lead there and is deaf then (leased_bus.ts). That silence is
 * no worker's fault, and whoever took it for death would lose the whole fleet's work at once.
 */
import type { BusStatus } from "../../../shared/bus/bus.ts";
import type { Limits } from "../../../shared/protocol/limits.ts";

export interface Hearing {
  /** The connection to the broker has gone or come. */
  statusChanged(status: BusStatus, now: number): void;
  /** Of the time since the last call, how much was deaf. To be asked every `heartbeatIntervalMs`. */
  deafMs(now: number): number;
}

/** @param isHeld whether the coordinator is certain to lead */
export function createHearing(startedAt: number, limits: Limits, isHeld = () => true): Hearing {
  let askedAt = startedAt;
  /** Until when silence says nothing: for ever, while there is no connection. */
  let deafUntil = -Infinity;
  return {
    statusChanged(status, now) {
      deafUntil = status === "disconnected" ? Infinity : now + limits.reconnectGraceMs;
    },
    deafMs(now) {
      const elapsedMs = now - askedAt;
      const wasDeafMs = Math.max(0, Math.min(now, deafUntil) - askedAt);
      askedAt = now;
      if (!isHeld()) return elapsedMs;
      // What was said meanwhile is heard after this question: it waits in the socket.
      const lateMs = elapsedMs - limits.heartbeatIntervalMs;
      return Math.max(wasDeafMs, lateMs > limits.heartbeatIntervalMs ? lateMs : 0);
    },
  };
}
