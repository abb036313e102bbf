/** What the API offers: files, uploads, base models and jobs. */
import { randomId } from "../storage/ids.ts";
import { createHashCache } from "../../shared/model/hash_cache.ts";
import { createModelRegistry, type ModelRegistry } from "../base_models/registry.ts";
import { createHubDatasets } from "../datasets/hub_dataset.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import { admitAfterwards } from "../exports/afterwards/admit_afterwards.ts";
import { followJobs } from "../exports/afterwards/follow_jobs.ts";
import { createExportService, type ExportService } from "../exports/export_service.ts";
import { runExportChild } from "../exports/process/export_child.ts";
import { runPushChild } from "../exports/process/push_child.ts";
import { openExportStore } from "../exports/record/export_store.ts";
import { createDryRuns, type RunDry } from "../estimate/dry_run.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { createFileStore, type FileStore } from "../jobs/files/file_store.ts";
import { createJobService, type JobService } from "../jobs/job_service.ts";
import { createUploadStore, type UploadStore } from "../jobs/files/upload_store.ts";
import { addFleetMetrics } from "../metrics/fleet_metrics.ts";
import type { Metrics } from "../metrics/registry.ts";
import { measuredFleet } from "../metrics/training_metrics.ts";
import { addJobMetrics, measuredPreparer } from "../metrics/work_metrics.ts";
import { openTrackers } from "../trackers/open_trackers.ts";
import { createDiskRoom, type DiskRoom } from "../upkeep/disk_room.ts";
import type { DataFolder } from "./data_folder.ts";
import type { CoordinatorParts } from "./parts.ts";

export interface Services {
  readonly files: FileStore;
  readonly uploads: UploadStore;
  readonly models: ModelRegistry;
  readonly jobs: JobService;
  readonly exports: ExportService;
  readonly runDry: RunDry;
  readonly room: DiskRoom;
}

export async function createServices(
  { dataFolder, maxUploadBytes, minFreeBytes, modelRoots, hub, trackers: trackerSettings }: CoordinatorConfig,
  { clock, log, openPreparer, checkModel, checkAdapter }: CoordinatorParts,
  { store, artifacts }: DataFolder,
  connectedFleet: Fleet,
  metrics: Metrics,
  onDefect: (message: string, thrown: unknown) => void,
): Promise<Services> {
  const fleet = measuredFleet(connectedFleet, metrics);
  addFleetMetrics(metrics, () => fleet.workers(), clock);
  addJobMetrics(metrics, store);
  const shared = { store, artifacts, clock, newId: randomId };
  const files = createFileStore({ ...shared, folder: `${dataFolder}/files`, maxUploadBytes });
  await files.sweep();
  const uploads = createUploadStore({ ...shared, files, maxUploadBytes, folder: `${dataFolder}/uploads` });
  await uploads.sweep();
  const hashes = createHashCache(`${dataFolder}/model_hashes.json`);
  const models = createModelRegistry({ roots: modelRoots, hub, hashes });
  const datasets = createHubDatasets(hub);
  const preparer = measuredPreparer(await openPreparer(`${dataFolder}/prepared`), metrics, clock);
  const tracking = { store, clock, onDefect, folder: `${dataFolder}/trackers` };
  const { admitTracking, track } = openTrackers(trackerSettings, tracking);
  const room = createDiskRoom({ folder: dataFolder, minFreeBytes });
  await room.look();
  const jobs = track(createJobService({
    ...{
      ...shared,
      admitTracking,
      admitAfterwards: admitAfterwards(hub, models),
      files,
      models,
      datasets,
      fleet,
      checkModel,
      onDefect,
      log,
    },
    mayStart: room.mayRun,
    ...preparer,
    ...(checkAdapter === undefined ? {} : { checkAdapter }),
  }));
  const exports = createExportService({
    ...{ ...shared, jobs, models, fleet, onDefect, run: runExportChild, runPush: runPushChild, hub },
    reserveBytes: room.reserveBytes,
    exports: await openExportStore(`${dataFolder}/exports`, onDefect),
  });
  const workers = () => fleet.workers();
  const runDry = createDryRuns({
    ...{
      ...shared,
      admitTracking,
      admitAfterwards: admitAfterwards(hub, models),
      files,
      models,
      datasets,
      checkModel,
      workers,
    },
    ...preparer,
  });
  return {
    ...{ files, uploads, models, runDry, exports, room },
    jobs: followJobs(jobs, { exports, store, onDefect }),
  };
}
