/**
 * Whether the broker stores what it is asked to store: its disk may be full, JetStream disabled, its streams gone. Every code
 * that stores something there reports the outcome.
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";

export interface BrokerTrouble {
  /** As the broker or its client reports it. */
  readonly problem: string;
  /** When it began, in milliseconds since 1970. */
  readonly since: number;
}

export interface BrokerHealth {
  /** The newest report of a `source` counts. Null: stored. */
  report(source: string, problem: string | null): void;
  /** The oldest current trouble; null if there is none. */
  readonly trouble: BrokerTrouble | null;
}

export function createBrokerHealth(clock: Pick<Clock, "now">): BrokerHealth {
  const troubles = new Map<string, BrokerTrouble>();
  return {
    report(source, problem) {
      if (problem === null) troubles.delete(source);
      else {
        const since = troubles.get(source)?.since ?? clock.now();
        troubles.set(source, { problem: withoutPaths(problem), since });
      }
    },
    get trouble() {
      return [...troubles.values()].sort((a, b) => a.since - b.since)[0] ?? null;
    },
  };
}

/** Users read it in a job's events and must not learn the broker's paths. */
function withoutPaths(problem: string): string {
  return problem.replaceAll(/ \/[^\s:]+/g, "");
}

/** Whether storing failed because of the broker and may succeed later: no answer, no room, or no stream. */
export function isBrokersFault(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && ["timeout", "storage", "not_found"].includes(thrown.code);
}
