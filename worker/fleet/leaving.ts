/** When a worker leaves by itself: a rented GPU costs money while it waits. */
import type { Clock } from "../../shared/clock.ts";

export interface LeaveRules {
  /** After so long without a job that runs here; null: it waits for ever. */
  readonly idleMs: number | null;
  /** Milliseconds since the Unix epoch; null: no such time. */
  readonly at: number | null;
}

interface LeavingOptions {
  readonly clock: Clock;
  readonly rules: LeaveRules;
  /** Whether no job runs here; also before the worker has joined. */
  readonly isIdle: () => boolean;
  readonly signal: AbortSignal;
}

/** How often the rules are looked at: seconds of a GPU's hour cost nothing. */
const CHECK_MS = 1000;

/** Why the worker leaves now; null: it stays. `idleSince` is null while it works. */
export function reasonToLeave(
  { idleMs, at }: LeaveRules,
  idleSince: number | null,
  now: number,
): string | null {
  if (at !== null && now >= at) {
    return `it is past ${new Date(at).toISOString()}, when this worker has to leave`;
  }
  if (idleMs === null || idleSince === null || now - idleSince < idleMs) return null;
  return `no job has run here for ${idleMs / 60_000} min`;
}

/** Resolves with the reason when it is time to leave; with null if the signal aborts first. */
export async function waitUntilLeaving(
  { clock, rules, isIdle, signal }: LeavingOptions,
): Promise<string | null> {
  let idleSince: number | null = null;
  while (!signal.aborted) {
    const now = clock.now();
    idleSince = isIdle() ? idleSince ?? now : null;
    const reason = reasonToLeave(rules, idleSince, now);
    if (reason !== null) return reason;
    await clock.sleep(CHECK_MS, signal).catch(() => {});
  }
  return null;
}
