/** What the parts of the job service share. */
import type { TensorPlace } from "../storage/checkpoint_check.ts";
import type { Clock } from "../../shared/clock.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import type { Afterwards } from "../job_request/afterwards.ts";
import type { Tracking, TrackingRequest } from "../job_request/tracking.ts";
import type { CheckedJob } from "../base_models/model_check.ts";
import type { ModelRegistry } from "../base_models/registry.ts";
import type { HubDatasets } from "../datasets/hub_dataset.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import type { ArtifactStore } from "../storage/artifact_store.ts";
import type { NewId } from "../storage/ids.ts";
import { type PrepareRequest } from "../planning/preparation/prepare_request.ts";
import type { FileStore } from "./files/file_store.ts";
import type { JobJournal } from "./job_journal.ts";
import type { JobStore } from "./stores/job_store.ts";

export interface JobServiceOptions {
  readonly store: JobStore;
  readonly files: FileStore;
  readonly artifacts: ArtifactStore;
  readonly models: ModelRegistry;
  readonly datasets: HubDatasets;
  readonly fleet: Fleet;
  readonly clock: Clock;
  readonly newId: NewId;
  /** The spec as the local base model allows it. Rejects with a `LoraFleetError` that names the field or file. */
  readonly checkModel: (spec: JobSpec, folder: string, weights?: "if there") => Promise<CheckedJob>;
  /** Prepares the whole dataset. Rejects with a `LoraFleetError` that names the line or field at fault. */
  readonly prepare: (request: PrepareRequest) => Promise<{ readonly totalSteps: number }>;
  /** Makes the plan of a prepared job available without delay. */
  readonly warm: (request: PrepareRequest) => Promise<void>;
  /** The plan of a prepared job. Dispose of its files. */
  readonly plan: (request: PrepareRequest) => Promise<PlannedJob>;
  /** The trackers of a new job. Rejects with a `LoraFleetError` if the coordinator has no settings for one of them. */
  readonly admitTracking: (request: TrackingRequest) => Promise<Tracking>;
  /** Rejects with a `LoraFleetError` for exports or a push by which a job on this base model could not be followed. */
  readonly admitAfterwards: (request: Afterwards, model: string) => Promise<void>;
  /** Rejects with a `LoraFleetError` if the finished adapter at `path` is not a result. Default: any adapter is one. */
  readonly checkAdapter?: (
    path: string,
    steps: number,
    places: readonly TensorPlace[] | null,
  ) => Promise<void>;
  /** Whether a job may begin to train; looked at again at each `proceed`. Default: always. */
  readonly mayStart?: () => boolean;
  /** Reports what is not the user's fault. */
  readonly onDefect: (message: string, thrown: unknown) => void;
  /** Reports a full disk and its end. */
  readonly log?: (level: "info" | "error", message: string) => void;
}

export interface JobContext extends JobServiceOptions {
  readonly journal: JobJournal;
}

/** Finds everything that preparing a job needs, and downloads its base model if necessary. */
export type RequestOf = (id: string, signal: AbortSignal) => Promise<PrepareRequest>;
