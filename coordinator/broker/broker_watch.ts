/**
 * Restarts our own broker when it runs but no longer stores anything. After a full disk, nats-server never answers again for
 * the affected streams (2.9.10 and 2.15.3); after a crash over damaged streams, it may come back with JetStream disabled. A
 * restart helps in both cases, once the disk takes bytes again.
 */
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import type { BrokerHealth, BrokerTrouble } from "./broker_health.ts";

interface BrokerWatchOptions {
  readonly health: BrokerHealth;
  /** Rejects while the broker's disk is full: a restart would not help and could lose data. */
  readonly assertRoom: () => Promise<void>;
  readonly restart: (reason: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: (level: "info" | "warn", message: string) => void;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

const CHECK_MS = 500;
/** One attempt at a renewal lasts 2 s: a broker that misses fewer than two is slow, not stuck. */
const STUCK_MS = 5000;
/** A check that comes so much too late: this process stood still, or its machine slept, and the broker was not asked meanwhile. */
const STOOD_STILL_MS = 1000;
/** Time for a restarted broker to recover its streams and for clients to retry; doubled after each restart without effect. */
const FIRST_WAIT_MS = 10_000;
const MAX_WAIT_MS = 60_000;

/**
 * Whether a restart is due, given room; `restarts` counts those that have not ended this trouble.
 * @param awakeSince when this process stood still last: what was not stored before says nothing of the broker
 */
export function isRestartDue(
  trouble: BrokerTrouble | null,
  restarts: { readonly count: number; readonly at: number },
  now: number,
  awakeSince = -Infinity,
): boolean {
  if (trouble === null || now - Math.max(trouble.since, awakeSince) < STUCK_MS) return false;
  if (restarts.count === 0) return true;
  return now - restarts.at >= Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (restarts.count - 1));
}

/** Resolves when the watch has ended. */
export async function watchBroker(options: BrokerWatchOptions): Promise<void> {
  const { health, clock, log, signal } = options;
  let restarts = { count: 0, at: -Infinity };
  let isFull = false;
  let awakeSince = -Infinity;
  while (!signal.aborted) {
    const sleptAt = clock.now();
    await clock.sleep(CHECK_MS, signal).catch(() => {});
    if (clock.now() - sleptAt >= CHECK_MS + STOOD_STILL_MS) awakeSince = clock.now();
    const { trouble } = health;
    if (trouble === null) {
      restarts = { count: 0, at: -Infinity };
      isFull = false;
      continue;
    }
    if (signal.aborted || !isRestartDue(trouble, restarts, clock.now(), awakeSince)) continue;
    try {
      await options.assertRoom();
    } catch (thrown) {
      if (!isFull) log("warn", `the broker stores nothing: ${messageOf(thrown)}`);
      isFull = true;
      continue;
    }
    const seconds = Math.round((clock.now() - trouble.since) / 1000);
    await options.restart(`nats-server runs, but has stored nothing for ${seconds} s (${trouble.problem})`)
      .catch((thrown) => log("warn", `nats-server could not be restarted: ${messageOf(thrown)}`));
    restarts = { count: restarts.count + 1, at: clock.now() };
  }
}
