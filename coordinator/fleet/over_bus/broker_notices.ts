/** Events of the job for the time in which the broker stores nothing and no step can be committed. */
import type { Clock } from "../../../shared/clock.ts";
import type { BrokerHealth } from "../../broker/broker_health.ts";
import type { JobObserver } from "../fleet.ts";

/** Shorter trouble is no event: the restart of a broker takes a second. */
const MIN_TROUBLE_MS = 2000;

export interface BrokerNotices {
  /** Called at each tick, with the observer of the job that trains. */
  update(observer: JobObserver | null): void;
}

export function createBrokerNotices(health: BrokerHealth, clock: Pick<Clock, "now">): BrokerNotices {
  let noticed: { readonly by: JobObserver; readonly since: number } | null = null;
  return {
    update(observer) {
      const { trouble } = health;
      if (noticed !== null && (trouble === null || noticed.by !== observer)) {
        const seconds = Math.round((clock.now() - noticed.since) / 1000);
        if (noticed.by === observer) {
          observer.event("info", `The broker stores messages again, after ${seconds} s: the job goes on.`);
        }
        noticed = null;
      }
      if (trouble === null || observer === null || noticed !== null) return;
      if (clock.now() - trouble.since < MIN_TROUBLE_MS) return;
      noticed = { by: observer, since: trouble.since };
      observer.event(
        "warn",
        `The broker does not store messages (${trouble.problem}): the job waits and goes on by itself.`,
      );
    },
  };
}
