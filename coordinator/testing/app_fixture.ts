/** A coordinator for tests: everything is real but the fleet and the preparation of data, in a temporary folder. */
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { systemClock } from "../../shared/clock.ts";
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import { createApiKeys } from "../access/api_keys.ts";
import { createAuditLog } from "../access/audit_log.ts";
import { createAccess } from "../access/access.ts";
import { openAccessStore } from "../access/access_store.ts";
import { createApp } from "../api/app.ts";
import { createPathHider } from "../api/hidden_paths.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import type { Api } from "../api/routes/describe.ts";
import type { ApiServices, ReadinessCheck } from "../api/routes/services.ts";
import type { HubSettings } from "../../shared/hub/hub_settings.ts";
import { createHashCache } from "../../shared/model/hash_cache.ts";
import { admitAfterwards } from "../exports/afterwards/admit_afterwards.ts";
import { followJobs } from "../exports/afterwards/follow_jobs.ts";
import { createExportService } from "../exports/export_service.ts";
import { type RunExport, runExportChild } from "../exports/process/export_child.ts";
import { runPushChild } from "../exports/process/push_child.ts";
import { openExportStore } from "../exports/record/export_store.ts";
import { createModelRegistry } from "../base_models/registry.ts";
import type { ModelRegistry } from "../base_models/registry.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { createHubDatasets, type HubDatasets } from "../datasets/hub_dataset.ts";
import { createDryRuns } from "../estimate/dry_run.ts";
import { createFileStore } from "../jobs/files/file_store.ts";
import type { FileStore } from "../jobs/files/file_store.ts";
import { createUploadStore } from "../jobs/files/upload_store.ts";
import type { JobServiceOptions } from "../jobs/job_context.ts";
import { type PrepareRequest } from "../planning/preparation/prepare_request.ts";
import { createJobService } from "../jobs/job_service.ts";
import type { JobService } from "../jobs/job_service.ts";
import { isFinished } from "../jobs/record/job.ts";
import type { JobRecord } from "../jobs/record/job.ts";
import { cleanTexts } from "../jobs/stores/clean_texts.ts";
import type { FileRecord, JobStore } from "../jobs/stores/job_store.ts";
import { openSqliteJobStore } from "../jobs/stores/sqlite_job_store.ts";
import type { Preparer } from "../planning/preparer.ts";
import { createArtifactStore } from "../storage/artifact_store.ts";
import type { ArtifactStore } from "../storage/artifact_store.ts";
import { randomId } from "../storage/ids.ts";
import { readTrackerSettings } from "../config/tracker_settings.ts";
import { openTrackers } from "../trackers/open_trackers.ts";
import { addFleetMetrics } from "../metrics/fleet_metrics.ts";
import { createMetrics } from "../metrics/registry.ts";
import { measuredFleet } from "../metrics/training_metrics.ts";
import { addJobMetrics, measuredPreparer } from "../metrics/work_metrics.ts";
import { createDiskRoom, type DiskSpace } from "../upkeep/disk_room.ts";
import { FakeFleet } from "./fake_fleet.ts";
import { fakePrepare, preparerOf } from "./fake_preparer.ts";

export const JOIN_TOKEN = "join-token-of-the-tests";
/** A hub that is not there. */
const NO_HUB = { endpoint: "http://127.0.0.1:9", token: null, offline: true };
/** The lifetime of workers' tokens. */
export const LIFETIME_MS = 3_600_000;
export interface World {
  readonly app: Api;
  readonly folder: string;
  readonly store: JobStore;
  readonly files: FileStore;
  readonly artifacts: ArtifactStore;
  readonly models: ModelRegistry;
  readonly jobs: JobService;
  readonly fleet: FakeFleet;
  readonly services: ApiServices;
  readonly access: ApiServices["access"];
  readonly defects: string[];
  /** The result of /readyz. */
  readonly checks: ReadinessCheck[];
  /** Public keys that the broker refuses. */
  readonly revoked: readonly string[];
  /** Headers of a worker that has joined. */
  worker(publicKey?: string): { readonly authorization: string };
  upload(text: string): Promise<FileRecord>;
  /** Resolves once the job satisfies the condition. */
  until(jobId: string, condition: (job: JobRecord) => boolean): Promise<JobRecord>;
  finished(jobId: string): Promise<JobRecord>;
  /** The messages of a job's events, oldest first. */
  messages(jobId: string): readonly string[];
}

export interface WorldOptions {
  readonly apiKeys?: readonly string[];
  readonly clock?: Clock;
  readonly store?: JobStore;
  readonly prepare?: (request: PrepareRequest) => Promise<PlannedJob>;
  /** Instead of `prepare`; the folder is empty. */
  readonly openPreparer?: (folder: string) => Promise<Preparer>;
  readonly checkModel?: JobServiceOptions["checkModel"];
  /** Default: a hub that is off limits. */
  readonly datasets?: HubDatasets;
  readonly checkAdapter?: NonNullable<JobServiceOptions["checkAdapter"]>;
  readonly maxUploadBytes?: number;
  /** The disk of the data folder; left out: it is not watched. */
  readonly disk?: { readonly measure: () => Promise<DiskSpace | null>; readonly minFreeBytes: number };
  /** Instead of a process of its own. */
  readonly runExport?: RunExport;
  /** Where exports are pushed; left out: no hub. */
  readonly hub?: HubSettings;
  /** For trackers. */
  readonly environment?: Readonly<Record<string, string>>;
  /** An earlier world, whose store and folder this one takes over. */
  readonly after?: World;
}

/** Status, code and field of an answer that is an error. */
export async function errorOf(response: Response): Promise<[number, string, string | null]> {
  const { error } = await response.json();
  return [response.status, error.code, error.param];
}

/** Runs `body` in a world with the base model "org/tiny", and stops it afterwards. */
export async function withWorld(options: WorldOptions, body: (world: World) => Promise<void>): Promise<void> {
  const folder = options.after?.folder ?? await Deno.makeTempDir();
  const stopping = new AbortController();
  const world = await createWorld(options, folder, stopping.signal);
  try {
    await body(world);
  } finally {
    stopping.abort();
    await world.services.exports.stop();
    await world.jobs.stop();
    if (options.after === undefined) await Deno.remove(folder, { recursive: true });
  }
}

async function createWorld(options: WorldOptions, folder: string, stopping: AbortSignal): Promise<World> {
  const services = await createServices(options, folder, stopping);
  const { jobs, files, store, access } = services;
  const until: World["until"] = async (jobId, condition) => {
    while (!condition(jobs.get(jobId))) {
      const changed = Promise.withResolvers<void>();
      const unwatch = jobs.watch(jobId, () => changed.resolve());
      await changed.promise;
      unwatch();
    }
    return jobs.get(jobId);
  };
  return {
    ...services,
    app: createApp(services),
    folder,
    services,
    worker(publicKey = createNatsKeys("user").publicKey) {
      const { token } = access.join({ joinToken: JOIN_TOKEN, publicKey, credential: null });
      return { authorization: `Bearer ${token}` };
    },
    async upload(text) {
      const bytes = ReadableStream.from([new TextEncoder().encode(text)]);
      return files.keep(await files.receive(bytes), "train.jsonl", "fine-tune");
    },
    until,
    finished: (jobId) => until(jobId, (job) => isFinished(job.status)),
    messages: (jobId) => store.eventsSince(jobId, 0, 1000).map((event) => event.message),
  };
}

async function createServices(options: WorldOptions, folder: string, stopping: AbortSignal) {
  const { clock = systemClock, maxUploadBytes = 10_000 } = options;
  const hidePaths = createPathHider([["the model roots", `${folder}/models`], ["the data folder", folder]]);
  const store = cleanTexts(
    options.after?.store ?? options.store ?? openSqliteJobStore(":memory:"),
    hidePaths,
  );
  const artifacts = createArtifactStore(`${folder}/artifacts`, clock);
  const shared = { store, artifacts, clock, newId: randomId };
  const files = createFileStore({ ...shared, folder: `${folder}/files`, maxUploadBytes });
  const uploads = createUploadStore({ ...shared, files, folder: `${folder}/uploads`, maxUploadBytes });
  const models = await createModels(folder);
  const datasets = options.datasets ?? createHubDatasets(noHub(folder));
  const fleet = new FakeFleet(artifacts);
  const defects: string[] = [];
  const onDefect = (message: string, thrown: unknown) =>
    void defects.push(`${message}: ${messageOf(thrown)}`);
  const { prepare = fakePrepare, openPreparer = () => Promise.resolve(preparerOf(prepare)) } = options;
  const metrics = createMetrics(onDefect);
  const measured = measuredFleet(fleet, metrics);
  addFleetMetrics(metrics, () => fleet.workers(), clock);
  addJobMetrics(metrics, store);
  const preparer = measuredPreparer(await openPreparer(`${folder}/prepared`), metrics, clock);
  const checkModel = options.checkModel ?? ((spec) => Promise.resolve({ spec, warnings: [] }));
  const settings = readTrackerSettings((name) => options.environment?.[name] ?? null, folder);
  const tracking = { store, clock, onDefect, folder: `${folder}/trackers` };
  const { admitTracking, track } = openTrackers(settings, tracking);
  const room = createDiskRoom({ folder, minFreeBytes: 0, ...options.disk });
  const hub = options.hub ?? noHub(folder);
  const admit = { admitTracking, admitAfterwards: admitAfterwards(hub, models) };
  const tracked = track(createJobService({
    mayStart: room.mayRun,
    ...{ ...shared, ...admit, files, models, datasets, fleet: measured, onDefect, checkModel },
    ...preparer,
    ...(options.checkAdapter === undefined ? {} : { checkAdapter: options.checkAdapter }),
  }));
  const exports = createExportService({
    ...{ ...shared, jobs: tracked, models, fleet, onDefect, run: options.runExport ?? runExportChild },
    ...{ runPush: runPushChild, hub },
    exports: await openExportStore(`${folder}/exports`, onDefect),
  });
  const jobs = followJobs(tracked, { exports, store, onDefect });
  exports.start();
  const { access, revoked } = createTestAccess(clock);
  const checks: ReadinessCheck[] = [{ name: "nats", problem: null }];
  const services: ApiServices = {
    ...{ ...shared, jobs, exports, files, uploads, models, fleet, parseJobRequest, maxUploadBytes, stopping },
    runDry: createDryRuns({
      ...{ ...shared, ...admit, files, models, datasets, checkModel },
      workers: () => fleet.workers(),
      ...preparer,
    }),
    ...{ hidePaths, onDefect, joinTokenTtlMs: null },
    configuredKeys: options.apiKeys ?? [],
    access,
    apiKeys: createApiKeys(openAccessStore(":memory:"), clock),
    ...{ room, folderKey: "key-in-the-data-folder" },
    openBackup: () => Promise.reject(new Error("the tests' folder has no databases")),
    audit: createAuditLog(`${folder}/audit.jsonl`, clock, onDefect),
    addresses: (requestUrl) => ({
      natsUrl: `nats://${requestUrl.hostname}:4222`,
      ...{ natsUser: "", natsPassword: "", natsTakesToken: true },
      httpUrl: requestUrl.origin,
      coordinatorId: "c1",
    }),
    metrics,
    readiness: () => Promise.resolve(checks),
  };
  return { ...services, fleet, defects, checks, revoked };
}

const noHub = (folder: string) => (
  { ...NO_HUB, cacheFolder: `${folder}/hub` }
);

async function createModels(folder: string): Promise<ModelRegistry> {
  await Deno.mkdir(`${folder}/models/org/tiny`, { recursive: true });
  await Deno.writeTextFile(`${folder}/models/org/tiny/config.json`, "{}");
  await Deno.writeTextFile(`${folder}/models/org/tiny/model.safetensors`, "0123456789");
  return createModelRegistry({
    roots: [`${folder}/models`],
    hub: noHub(folder),
    hashes: createHashCache(`${folder}/hashes.json`),
  });
}

/** Real access control; `revoked` are the keys that a broker would refuse. */
function createTestAccess(clock: Clock) {
  const revoked: string[] = [];
  const access = createAccess({
    store: openAccessStore(":memory:"),
    account: createNatsKeys("account"),
    clock,
    lifetimeMs: LIFETIME_MS,
    enforce: (revocations) => {
      revoked.splice(0, Infinity, ...revocations.map(({ publicKey }) => publicKey));
      return Promise.resolve();
    },
  });
  access.defaultToken(JOIN_TOKEN, "of the tests", null);
  return { access, revoked };
}
