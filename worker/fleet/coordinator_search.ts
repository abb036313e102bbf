/** Looks for the coordinator again, through the join URL, while its announcements fail to arrive. */
import type { CoordinatorLink } from "./coordinator_link.ts";
import type { FleetFeed } from "./fleet_feed.ts";

export interface CoordinatorSearch {
  readonly isOn: boolean;
  /** Whether new connections are needed. Throws the search's failure. */
  readonly hasMoved: boolean;
  start(): void;
}

export function createCoordinatorSearch(
  link: CoordinatorLink,
  fleet: FleetFeed,
  onChange: () => void,
): CoordinatorSearch {
  let isOn = false;
  let hasMoved = false;
  let failure: { readonly reason: unknown } | null = null;
  /** Announcements received before the last search. */
  let announcementCount = -1;
  return {
    get isOn() {
      return isOn;
    },
    get hasMoved() {
      if (failure !== null) throw failure.reason;
      return hasMoved;
    },
    start: () => {
      // The silence may be the connection's fault: a second search without an announcement in between replaces it in any case.
      const isSecond = announcementCount === fleet.announcementCount;
      const before = announcementCount = fleet.announcementCount;
      isOn = true;
      link.search(() => fleet.announcementCount > before).then(
        (isDifferent) => void (hasMoved = isDifferent || (isSecond && fleet.announcementCount === before)),
        (reason) => void (failure = { reason }),
      ).finally(() => {
        isOn = false;
        fleet.restartSilence();
        onChange();
      });
    },
  };
}
