/**
 * Whether the broker stores what it is asked to store: its disk may be full, JetStream may have been disabled, its streams may
 * be gone. Whoever stores something there reports how it goes; the health is that of all of them.
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";

export interface BrokerTrouble {
  /** What is wrong, as the broker or its client says. */
  readonly problem: string;
  /** When it began, in milliseconds since 1970. */
  readonly since: number;
}

export interface BrokerHealth {
  /** `source` names who stores something: its newest report counts. Null: it is stored. */
  report(source: string, problem: string | null): void;
  /** The trouble that has lasted longest; null while all is well. */
  readonly trouble: BrokerTrouble | null;
}

export function createBrokerHealth(clock: Pick<Clock, "now">): BrokerHealth {
  const troubles = new Map<string, BrokerTrouble>();
  return {
    report(source, problem) {
      if (problem === null) troubles.delete(source);
      else {
        troubles.set(source, {
          problem: withoutPaths(problem),
          since: troubles.get(source)?.since ?? clock.now(),
        });
      }
    },
    get trouble() {
      return [...troubles.values()].sort((a, b) => a.since - b.since)[0] ?? null;
    },
  };
}

/** Users read it in a job's events; where the broker keeps its streams is none of their business. */
function withoutPaths(problem: string): string {
  return problem.replaceAll(/ \/[^\s:]+/g, "");
}

/**
 * Whether something was not stored through the broker's fault, so that it may be stored later: it does not answer, it has no
 * room, or the stream is gone.
 */
export function isBrokersFault(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && ["timeout", "storage", "not_found"].includes(thrown.code);
}
