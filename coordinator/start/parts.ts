/** The outside world as the coordinator takes it: real in main.ts, replaced in tests. */
import type { Clock } from "../../shared/clock.ts";
import type { Log } from "../../shared/log.ts";
import type { Broker } from "../broker/broker.ts";
import type { JobServiceOptions } from "../jobs/job_context.ts";
import type { Preparer } from "../planning/preparer.ts";
import type { ConnectedFleet, ConnectOptions } from "./connect_fleet.ts";

export interface CoordinatorParts {
  readonly clock: Clock;
  /** Ends standing by, with its reason. */
  readonly signal: AbortSignal;
  readonly connectFleet: (broker: Broker, options: ConnectOptions) => Promise<ConnectedFleet>;
  /** Keeps prepared data in `folder`, which it alone uses. */
  readonly openPreparer: (folder: string) => Promise<Preparer>;
  readonly checkModel: JobServiceOptions["checkModel"];
  readonly checkAdapter?: NonNullable<JobServiceOptions["checkAdapter"]>;
  readonly log: Log;
}
