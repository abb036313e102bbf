/** A membership from its welcome to its end: follows the announced state of the fleet. */
import type { JobAnnouncement, MemberRef, Welcome } from "../../shared/protocol/messages_coordinator.ts";
import type { Change } from "../async/change.ts";
import { pauseUnless } from "../async/pause.ts";
import type { Runtime } from "../async/runtime.ts";
import type { CoordinatorLink } from "./coordinator_link.ts";
import { createCoordinatorSearch } from "./coordinator_search.ts";
import type { FleetFeed } from "./fleet_feed.ts";

interface StayOptions extends Runtime {
  readonly self: MemberRef;
  readonly welcome: Extract<Welcome, { type: "welcome" }>;
  readonly fleet: FleetFeed;
  readonly link: CoordinatorLink;
  /** Signalled when there may be something to do. */
  readonly change: Change;
  /** Aborts when the worker stops. */
  readonly signal: AbortSignal;
  readonly onJob: (job: JobAnnouncement | null) => void;
  /** Whether a draining worker may leave now. */
  readonly isDrained: (hasOthers: boolean, isSilent: boolean) => boolean;
}

/** `lost`: no longer a member. `moved`: new connections are needed. `left`: drained. */
export type StayOutcome = "lost" | "moved" | "left";

/** Rejects with the signal's reason, or if the coordinator refuses this worker's token. */
export async function stayMember(options: StayOptions): Promise<StayOutcome> {
  const { clock, limits, log, self, welcome, fleet, change, signal } = options;
  const search = createCoordinatorSearch(options.link, fleet, () => change.notify());
  for (;;) {
    const next = change.next();
    signal.throwIfAborted();
    if (search.hasMoved) return "moved";
    const state = fleet.since(welcome);
    if (state !== null) {
      if (!state.members.some(({ incarnation }) => incarnation === self.incarnation)) return "lost";
      options.onJob(state.job);
    }
    const isSilent = fleet.silentMs > limits.coordinatorSilentMs;
    if (options.isDrained((state?.members.length ?? 1) > 1, isSilent)) return "left";
    if (isSilent && !search.isOn) {
      const seconds = limits.coordinatorSilentMs / 1000;
      log("warn", `no announcement from the coordinator for ${seconds} s; looking for it`);
      search.start();
    }
    await pauseUnless(clock, limits.announcementIntervalMs, next, signal);
  }
}
