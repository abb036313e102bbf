/** The announced states of the fleet: the newest, and the time since the last fresh announcement. */
import type { Bus } from "../../shared/bus/bus.ts";
import { messageOf } from "../../shared/errors.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type FleetState, fleetStateSchema } from "../../shared/protocol/messages_coordinator.ts";
import { FLEET_SUBJECT } from "../../shared/protocol/subjects.ts";
import { type FleetAge, isOlderFleet } from "../../shared/protocol/terms.ts";
import type { Runtime } from "../async/runtime.ts";

export interface FleetFeed {
  /** The newest state; null if it is older than the welcome, and so does not list the worker yet. */
  since(welcome: FleetAge): FleetState | null;
  readonly silentMs: number;
  /** Announcements that were not older than the newest. */
  readonly announcementCount: number;
  /** Call it when the coordinator has shown itself otherwise. */
  restartSilence(): void;
}

interface FleetFeedOptions extends Pick<Runtime, "clock" | "log"> {
  readonly bus: Bus;
  readonly onChange: () => void;
}

/** Listens until the bus is closed. */
export function listenToFleet({ bus, clock, log, onChange }: FleetFeedOptions): FleetFeed {
  let newest: FleetState | null = null;
  let announcedAt = clock.now();
  let announcementCount = 0;
  bus.subscribe(FLEET_SUBJECT, ({ data }) => {
    let state: FleetState;
    try {
      state = decodeMessage(fleetStateSchema, data, "the state of the fleet");
    } catch (thrown) {
      return log("warn", messageOf(thrown));
    }
    // If only older states arrive, the broker may have lost its terms: the silence then leads to a new connection.
    if (newest !== null && isOlderFleet(state, newest)) return;
    announcedAt = clock.now();
    announcementCount++;
    newest = state;
    onChange();
  });
  return {
    since: (welcome) => newest !== null && !isOlderFleet(newest, welcome) ? newest : null,
    get silentMs() {
      return clock.now() - announcedAt;
    },
    get announcementCount() {
      return announcementCount;
    },
    restartSilence: () => void (announcedAt = clock.now()),
  };
}
