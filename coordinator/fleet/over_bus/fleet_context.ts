/** What the parts of the fleet over the bus share: its inputs, its members and the job that trains. */
import type { Bus } from "../../../shared/bus/bus.ts";
import type { Clock } from "../../../shared/clock.ts";
import type { Log } from "../../../shared/log.ts";
import type { Limits } from "../../../shared/protocol/limits.ts";
import type { JobAnnouncement } from "../../../shared/protocol/messages_coordinator.ts";
import type { Quarantines, QuarantineStore } from "../../access/quarantines.ts";
import type { BrokerHealth } from "../../broker/broker_health.ts";
import type { AdapterLayout } from "../../planning/adapter_layout.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import type { JobObserver } from "../fleet.ts";
import type { FloodGuard } from "../flood_guard.ts";
import type { OnDefect } from "../listen.ts";
import type { Paced } from "../paced.ts";
import type { TrainingRun } from "../run/training_run.ts";
import type { Membership } from "./membership.ts";

interface FleetInputs {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly coordinatorId: string;
  /** Larger than the term of any earlier leader at this broker. */
  readonly term: number;
  readonly artifacts: ArtifactStore;
  /** Called for messages that no worker of ours would send, and for defects. */
  readonly onDefect: OnDefect;
  /** For workers that come and go while no job trains; otherwise they are events of the job. */
  readonly log?: Log;
  /** A job's adapter layout, from its base model; left out: workers are believed. */
  readonly layoutOf?: (job: PlannedJob) => Promise<AdapterLayout | null>;
}

export interface FleetOptions extends FleetInputs {
  /** Whether this coordinator certainly leads: it hears no worker while it does not. Left out: always. */
  readonly isHeld?: () => boolean;
  /** Shared with others that store at the broker; left out: only training reports to it. */
  readonly health?: BrokerHealth;
  /** Left out: in memory. */
  readonly quarantines?: QuarantineStore;
  readonly limits?: Limits;
  readonly newStartId?: () => string;
  /** Makes the secret of a run's checks; random by default. */
  readonly newCheckKey?: () => string;
  /** Called for a worker that floods the coordinator, to cut it off; left out: reported as a defect. */
  readonly onFlood?: (worker: string, reason: string) => void;
}

export interface FleetContext extends FleetInputs {
  readonly limits: Limits;
  readonly newStartId: () => string;
  readonly newCheckKey: () => string;
  readonly guard: FloodGuard;
  readonly health: BrokerHealth;
  readonly quarantines: Quarantines;
  /** Publishes the members and the job. */
  readonly announcement: Paced;
  /** Shows the run the whole fleet. A look per message of each worker would be too much for a large fleet. */
  readonly look: Paced;
  /** Aborted when the fleet is closed. */
  readonly signal: AbortSignal;
  membership: Membership;
  /** Runs so far: each start, pause and resumption of a job begins one. */
  runCount: number;
  /** As workers see it. */
  job: JobAnnouncement | null;
  run: TrainingRun | null;
  /** The newest closed run. Only the job service knows whether its job is over or interrupted. */
  closedRun: { readonly jobId: string; readonly run: TrainingRun } | null;
  /** Of the job that trains. */
  observer: JobObserver | null;
  /** Whether heartbeats have arrived that the run has not seen. */
  hasUnseen: boolean;
}
