/** What the parts of one training run share: its inputs, and the training as the last decision left it. */
import type { Bus } from "../../../shared/bus/bus.ts";
import type { Clock } from "../../../shared/clock.ts";
import type { Limits } from "../../../shared/protocol/limits.ts";
import type { CommitEntry } from "../../../shared/protocol/messages_coordinator.ts";
import type { ItemRequest, RowsRequest } from "../../../shared/protocol/messages_worker.ts";
import type { BrokerPatience } from "../../broker/broker_patience.ts";
import type { AdapterLayout } from "../../planning/adapter_layout.ts";
import type { StepItem } from "../../planning/work_items.ts";
import type { ArtifactStore, StoredState } from "../../storage/artifact_store.ts";
import { isOfAttempt } from "../../training/decision.ts";
import type { StepEffect, StepEvent } from "../../training/state/effects.ts";
import type { TrainingPlan } from "../../training/state/plan.ts";
import type { Evaluated } from "../../planning/evaluation/selection.ts";
import type { FleetView } from "../../training/state/fleet_view.ts";
import type { Training } from "../../training/state/training.ts";
import type { WorkerQuarantine } from "../../access/quarantines.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import type { JobObserver } from "../fleet.ts";
import type { FloodGuard } from "../flood_guard.ts";
import type { OnDefect } from "../listen.ts";
import type { Paced } from "../paced.ts";
import type { GradientBytes } from "./gradient_bytes.ts";
import type { IdleNotice } from "./idle_notice.ts";
import type { StepSpan } from "./step_span.ts";

interface RunInputs {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly artifacts: ArtifactStore;
  readonly job: PlannedJob;
  readonly startId: string;
  /** The adapter's layout, from the job and its base model; null if unknown. */
  readonly layout: AdapterLayout | null;
  readonly observer: JobObserver;
  /** Called for a worker that gets no work from now on. */
  readonly onQuarantine: (found: Omit<WorkerQuarantine, "since" | "jobId">) => void;
  readonly guard: FloodGuard;
  readonly onDefect: OnDefect;
}

export interface TrainingRunOptions extends RunInputs {
  /** Larger than that of any earlier run of the job, under any coordinator. */
  readonly term: number;
  /** A fresh secret, from which the seeds of the workers' checksums follow. */
  readonly checkKey: string;
  readonly fleet: FleetView;
  /** Workers that get no work. */
  readonly quarantined: ReadonlySet<string>;
  /** The commit to continue from; null for a new start. */
  readonly resumed: ResumedRun | null;
  /** Called with what keeps the broker from storing, and with null once it stores again. */
  readonly onBrokerTrouble?: (problem: string | null) => void;
}

export type ReadableState = Pick<StoredState, "readWords">;

export interface ResumedRun {
  /** The log's newest commit. */
  readonly sequence: number;
  readonly entry: CommitEntry;
  /** Whether the commit's adapter is stored, and its training state; null if it is not stored. */
  readonly stored: { readonly adapter: boolean; readonly state: ReadableState | null };
  /** Outcomes of evaluations on record. */
  readonly evaluations: readonly Evaluated[];
  /** Commits that the observer has not seen. */
  readonly unreported: readonly CommitEntry[];
}

export interface RunContext extends RunInputs {
  readonly plan: TrainingPlan;
  readonly items: (step: number) => readonly StepItem[];
  /** Whether checkpoints include the training state. */
  readonly savesState: boolean;
  readonly gradientBytes: GradientBytes;
  readonly idleNotice: IdleNotice;
  readonly span: StepSpan;
  readonly patience: BrokerPatience;
  readonly announcement: Paced;
  readonly outcome: PromiseWithResolvers<"done" | "restart">;
  /** Decides on an event and carries out the decision's effects. */
  apply(event: StepEvent): readonly StepEffect[];
  training: Training;
  storedState: ReadableState | null;
  isClosed: boolean;
  /** Workers forget a job once its end is announced, so everything that may need them is stored before. */
  mayAnnounceEnd: boolean;
  /** Settles after the effects on queue and log, which happen one by one in the order of the decisions. */
  stored: Promise<void>;
  /** The same for reports to the observer. The next step does not wait for these: the log already has the commit. */
  reported: Promise<void>;
}

/** Ends the run with an error. */
export function failRun(run: RunContext, thrown: unknown): void {
  if (!run.isClosed) run.outcome.reject(thrown);
}

/** Whether this attempt is still being computed. */
export function isCurrent({ isClosed, training }: RunContext, step: number, attempt: number): boolean {
  return !isClosed && training.phase === "compute" && training.step === step && training.attempt === attempt;
}

/** Whether a member of the current attempt sent the request. A request that is early or late is repeated or no longer needed. */
export function isCurrentRequest(run: RunContext, request: ItemRequest | RowsRequest): boolean {
  return isCurrent(run, request.step, request.attempt) && isOfAttempt(run.training, request);
}
