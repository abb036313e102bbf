/** The announced states of the fleet: the newest, and how long the coordinator has been silent. */
import type { Bus } from "../shared/bus/bus.ts";
import type { Clock } from "../shared/clock.ts";
import { messageOf } from "../shared/errors.ts";
import { decodeMessage, type FleetState, fleetStateSchema } from "../shared/messages.ts";
import { FLEET_SUBJECT } from "../shared/subjects.ts";
import type { Log } from "./log.ts";

export interface FleetFeed {
  /** The newest state of at least this generation: one from before a welcome does not know the worker yet. */
  since(generation: number): FleetState | null;
  readonly silentMs: number;
  /** Counts every announcement. */
  readonly heardCount: number;
  /** The coordinator is there, as is known from elsewhere: its silence begins anew. */
  restartSilence(): void;
}

export interface FleetFeedOptions {
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
    heardAt = clock.now();
    heardCount++;
    if (newest !== null && state.generation < newest.generation) return;
    newest = state;
    onChange();
  });
  return {
    since: (generation) => newest !== null && newest.generation >= generation ? newest : null,
    get silentMs() {
      return clock.now() - heardAt;
    },
    get heardCount() {
      return heardCount;
    },
    restartSilence: () => void (heardAt = clock.now()),
  };
}
