/** What the parts of the export service share. */
import type { Clock } from "../../../shared/clock.ts";
import type { HubSettings } from "../../../shared/hub/hub_settings.ts";
import type { ModelRegistry } from "../../base_models/registry.ts";
import type { Fleet } from "../../fleet/fleet.ts";
import type { JobService } from "../../jobs/job_service.ts";
import type { JobStore } from "../../jobs/stores/job_store.ts";
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import type { NewId } from "../../storage/ids.ts";
import type { RunExport } from "../process/export_child.ts";
import type { RunPush } from "../process/push_child.ts";
import type { ExportStore } from "../record/export_store.ts";

export interface ExportServiceOptions {
  readonly exports: ExportStore;
  readonly store: JobStore;
  readonly jobs: Pick<JobService, "get" | "record" | "plan">;
  /** Whose workers measure merges. */
  readonly fleet: Pick<Fleet, "measurers" | "askToMeasure">;
  readonly artifacts: ArtifactStore;
  readonly models: Pick<ModelRegistry, "resolve" | "describe">;
  readonly clock: Pick<Clock, "now" | "sleep">;
  readonly newId: NewId;
  readonly run: RunExport;
  readonly runPush: RunPush;
  readonly hub: HubSettings;
  /** What an export leaves free on the disk; 0 or left out: what the coordinator's records need. */
  readonly reserveBytes?: () => number;
  readonly onDefect: (message: string, thrown: unknown) => void;
}
