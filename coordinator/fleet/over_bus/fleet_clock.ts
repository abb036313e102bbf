/** The fleet's ticks: checks deadlines as often as heartbeats arrive, and repeats the announcements. */
import type { BrokerNotices } from "./broker_notices.ts";
import type { Connectivity } from "./connectivity.ts";
import type { FleetContext } from "./fleet_context.ts";
import { applyToMembership } from "./members.ts";

/** Rejects when the fleet is closed. */
export async function keepTime(
  fleet: FleetContext,
  connectivity: Connectivity,
  notices: BrokerNotices,
): Promise<void> {
  const { clock, health, limits, signal } = fleet;
  let repeatedAt = -Infinity;
  let tickedAt = clock.now();
  while (!signal.aborted) {
    const milliseconds = connectivity.blackoutMs(clock.now());
    if (milliseconds > 0) applyToMembership(fleet, { type: "blackout", milliseconds });
    // No worker is late with work that the broker has not stored.
    const withoutBrokerMs = health.trouble === null ? 0 : clock.now() - tickedAt;
    tickedAt = clock.now();
    const lostMs = Math.max(milliseconds, withoutBrokerMs);
    if (lostMs > 0) fleet.run?.blackout(lostMs);
    notices.update(fleet.observer);
    applyToMembership(fleet, { type: "tick" });
    fleet.run?.tick();
    if (clock.now() - repeatedAt >= limits.announcementIntervalMs) {
      repeatedAt = clock.now();
      fleet.announcement.now();
      // Repeats the end of the last job, too: a worker that missed it would keep the base model in its GPU.
      (fleet.run ?? fleet.closedRun?.run)?.announce();
    }
    await clock.sleep(Math.min(limits.heartbeatIntervalMs, limits.announcementIntervalMs), signal);
  }
}
