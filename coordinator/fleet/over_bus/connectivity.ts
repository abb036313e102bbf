/**
 * How long the coordinator could not hear any worker: its process slept, its event loop was blocked, it had no
 * connection to the broker, or it did not hold the leader lease (leased_bus.ts). No worker is to blame for that silence;
 * taking it for death would lose the whole fleet's work at once.
 */
import type { BusStatus } from "../../../shared/bus/bus.ts";
import type { Limits } from "../../../shared/protocol/limits.ts";

export interface Connectivity {
  /** The connection to the broker was lost or made. */
  statusChanged(status: BusStatus, now: number): void;
  /** The blackout within the time since the last call. Called every `heartbeatIntervalMs`. */
  blackoutMs(now: number): number;
}

/** @param isHeld whether the coordinator holds the leader lease */
export function createConnectivity(startedAt: number, limits: Limits, isHeld = () => true): Connectivity {
  let askedAt = startedAt;
  /** Infinity while disconnected. */
  let blackoutUntil = -Infinity;
  return {
    statusChanged(status, now) {
      blackoutUntil = status === "disconnected" ? Infinity : now + limits.reconnectGraceMs;
    },
    blackoutMs(now) {
      const elapsedMs = now - askedAt;
      const disconnectedMs = Math.max(0, Math.min(now, blackoutUntil) - askedAt);
      askedAt = now;
      if (!isHeld()) return elapsedMs;
      // Messages sent meanwhile still wait in the socket.
      const lateMs = elapsedMs - limits.heartbeatIntervalMs;
      return Math.max(disconnectedMs, lateMs > limits.heartbeatIntervalMs ? lateMs : 0);
    },
  };
}
