import type { Clock } from "../../shared/clock.ts";
import type { Log } from "../../shared/log.ts";
import type { Limits } from "../../shared/protocol/limits.ts";

/** What each part of a worker needs to wait, to time out and to log. */
export interface Runtime {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
}
