/** The announced states of the fleet: the newest, and how long nothing as new was heard. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type FleetState, fleetStateSchema } from "../../shared/protocol/messages_coordinator.ts";
import { FLEET_SUBJECT } from "../../shared/protocol/subjects.ts";
import { type FleetAge, isOlderFleet } from "../../shared/protocol/terms.ts";
import type { Log } from "../../shared/log.ts";

export interface FleetFeed {
  /** The newest state, unless it is older than the welcome: then it does not know the worker yet. */
  since(welcome: FleetAge): FleetState | null;
  readonly silentMs: number;
  /** Counts the announcements that were not older than the newest. */
  readonly heardCount: number;
  /** The coordinator is there, as is known from elsewhere: its silence begins anew. */
  restartSilence(): void;
}

interface FleetFeedOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}

/** Listens for as long as the bus is open. */
export function listenToFleet({ bus, clock, log, onChange }: FleetFeedOptions): FleetFeed {
  let newest: FleetState | null = null;
  let heardAt = clock.now();
  let heardCount = 0;
  bus.subscribe(FLEET_SUBJECT, ({ data }) => {
    let state: FleetState;
    try {
      state = decodeMessage(fleetStateSchema, data, "the state of the fleet");
    } catch (thrown) {
      return log("warn", messageOf(thrown));
    }
    // Where nothing but older ones comes, the broker may have been made anew, terms and all: silence leads to a new
    // connection.
    if (newest !== null && isOlderFleet(state, newest)) return;
    heardAt = clock.now();
    heardCount++;
    newest = state;
    onChange();
  });
  return {
    since: (welcome) => newest !== null && !isOlderFleet(newest, welcome) ? newest : null,
    get silentMs() {
      return clock.now() - heardAt;
    },
    get heardCount() {
      return heardCount;
    },
    restartSilence: () => void (heardAt = clock.now()),
  };
}
