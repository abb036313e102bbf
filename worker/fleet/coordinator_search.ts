/** Looks for the coordinator again, through the join URL, while its announcements fail to arrive. */
import type { CoordinatorLink } from "./coordinator_link.ts";
import type { FleetFeed } from "./fleet_feed.ts";

export class CoordinatorSearch {
  readonly #link: CoordinatorLink;
  readonly #fleet: FleetFeed;
  readonly #onChange: () => void;
  #isOn = false;
  /** Announcements received before the last search. */
  #heardCount = -1;
  #hasMoved = false;
  #failure: { readonly reason: unknown } | null = null;

  constructor(link: CoordinatorLink, fleet: FleetFeed, onChange: () => void) {
    this.#link = link;
    this.#fleet = fleet;
    this.#onChange = onChange;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Whether new connections are needed. Throws what the search failed with. */
  get hasMoved(): boolean {
    if (this.#failure !== null) throw this.#failure.reason;
    return this.#hasMoved;
  }

  start(): void {
    const [link, fleet] = [this.#link, this.#fleet];
    // The silence may be the connection's fault: a second search without an announcement in between replaces it in any case.
    const isSecond = this.#heardCount === fleet.heardCount;
    const heardCount = this.#heardCount = fleet.heardCount;
    this.#isOn = true;
    link.search(() => fleet.heardCount > heardCount).then(
      (hasMoved) => void (this.#hasMoved = hasMoved || (isSecond && fleet.heardCount === heardCount)),
      (reason) => void (this.#failure = { reason }),
    ).finally(() => {
      this.#isOn = false;
      fleet.restartSilence();
      this.#onChange();
    });
  }
}
