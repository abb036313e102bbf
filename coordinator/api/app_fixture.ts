/** A coordinator for tests: everything real but the fleet and the preparation of data, in a temporary folder. */
import type { Clock } from "../../shared/clock.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { createAccess } from "../access/access.ts";
import type { JobEnd } from "../../shared/protocol/messages.ts";
import { createApp } from "./app.ts";
import { createArtifactStore } from "../storage/artifact_store.ts";
import type { ArtifactStore } from "../storage/artifact_store.ts";
import { createFileStore } from "../jobs/file_store.ts";
import type { FileStore } from "../jobs/file_store.ts";
import type { CheckpointFile } from "../storage/checkpoint_file.ts";
import type { CheckpointAssignment } from "../training/upload_decision.ts";
import type { ExcludedMicroBatch, Fleet, JobObserver, WorkerView } from "../fleet/fleet.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { createPathHider, withoutPaths } from "./hidden_paths.ts";
import { isFinished } from "../jobs/job.ts";
import type { JobRecord } from "../jobs/job.ts";
import { createJobService } from "../jobs/job_service.ts";
import type { JobService, JobServiceOptions } from "../jobs/job_service.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";
import { createModelRegistry } from "../base_models/registry.ts";
import type { ModelRegistry } from "../base_models/registry.ts";
import { createHashCache } from "../base_models/hash_cache.ts";
import type { Api, ApiServices, ReadinessCheck } from "./services.ts";
import { createUploadStore } from "../jobs/upload_store.ts";
import type { Preparer } from "../planning/preparer.ts";
import { openAccessStore } from "../access/access_store.ts";
import { randomId } from "../storage/ids.ts";
import type { FileRecord, JobStore } from "../jobs/job_store.ts";
import { createMemoryJobStore } from "../testing/memory_job_store.ts";
import { sha256Of } from "../storage/streamed_file.ts";

export const JOIN_TOKEN = "join-token-of-the-tests";
/** Of workers' tokens. */
export const LIFETIME_MS = 3_600_000;
export const FAKE_WORKER: WorkerView = {
  id: "w1",
  incarnation: "w1-1",
  name: "pc",
  gpu: "a GPU",
  state: "ready",
  jobId: null,
  joinedAt: 1_700_000_000_000,
  lastHeartbeatAt: 1_700_000_001_500,
  maxHeartbeatGapMs: 12.5,
  microBatchesDone: 7,
  tokensPerSecond: 1000,
  gradientBytesSent: 4096,
  reason: null,
  strikes: [],
  accusations: [],
  quarantine: null,
};

/** A fleet without workers: each step is committed as soon as `beforeStep` lets it. */
export class FakeFleet implements Fleet {
  readonly trained: string[] = [];
  /** How each job has ended, as its workers are told. */
  readonly ends = new Map<string, JobEnd>();
  beforeStep: (job: PlannedJob, step: number, signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  readonly #artifacts: ArtifactStore;

  constructor(artifacts: ArtifactStore) {
    this.#artifacts = artifacts;
  }

  /** Of its one worker. */
  quarantine: WorkerView["quarantine"] = null;
  /** Left out of their step, by step. */
  readonly excluded = new Map<number, ExcludedMicroBatch>();

  /** What workers may upload. */
  assignment: CheckpointAssignment | null = null;
  /** Steps that somebody was asked for again. */
  readonly damaged: number[] = [];

  checkpointAssignment(): CheckpointAssignment | null {
    return this.assignment;
  }

  checkpointDamaged(_jobId: string, step: number): boolean {
    this.damaged.push(step);
    return false;
  }

  workers(): readonly WorkerView[] {
    return [{ ...FAKE_WORKER, quarantine: this.quarantine }];
  }

  reinstate(worker: string): void {
    if (this.quarantine?.worker !== worker) {
      throw new LoraFleetError("not_found", "not in quarantine", { param: "id" });
    }
    this.quarantine = null;
  }

  async train(job: PlannedJob, observer: JobObserver, signal: AbortSignal): Promise<void> {
    this.trained.push(job.id);
    await observer.starting(0);
    observer.event("info", "2 workers have joined.", { workers: 2 });
    for (let step = 1; step <= job.totalSteps; step++) {
      await this.beforeStep(job, step, signal);
      signal.throwIfAborted();
      const excluded = this.excluded.get(step);
      if (excluded !== undefined) observer.microBatchExcluded(step, excluded);
      await observer.stepCommitted({
        step,
        epoch: step / job.totalSteps,
        loss: 2 / step,
        learningRate: 1e-4,
        gradientNorm: 0.5,
        tokenCount: 100,
        labelCount: 60,
        workerCount: 2,
        attempt: 1,
        seconds: 0.5,
        attemptSeconds: 0.5,
        gradientBytesSent: 2048,
        digest: `digest-${step}`,
        excluded: excluded === undefined ? [] : [excluded],
        audits: { passed: step, failed: 0, skipped: 0 },
      });
      if (job.checkpointSteps.includes(step)) {
        await observer.checkpointWritten(step, await this.#upload(job.id, step));
      }
    }
  }

  forget(jobId: string, end: JobEnd): Promise<void> {
    this.ends.set(jobId, end);
    return Promise.resolve();
  }

  async #upload(jobId: string, step: number): Promise<CheckpointFile[]> {
    const files = [["adapter_config.json", `{"step":${step}}`], [
      "adapter_model.safetensors",
      "weights".repeat(step),
    ]];
    const stored = await Promise.all(files.map(async ([name, text]) => {
      const bytes = new TextEncoder().encode(text);
      const upload = { step, writer: "w1", name: name!, sha256: sha256Of(bytes), maxBytes: 1000 };
      return await this.#artifacts.put(jobId, upload, ReadableStream.from([bytes]));
    }));
    const accepted = await this.#artifacts.accept(jobId, step, "w1", stored, { digest: "", layout: null });
    if ("fault" in accepted) throw new Error(accepted.fault);
    return [...accepted.files];
  }
}

/** Takes each line of the training file as two steps; an empty line is an invalid dataset. */
export async function fakePrepare(request: PrepareRequest): Promise<PlannedJob> {
  const lines = (await Deno.readTextFile(request.trainingFilePath)).split("\n");
  const empty = lines.indexOf("");
  if (empty >= 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      `${request.trainingFile.filename}, line ${empty + 1} is empty`,
      {
        param: "training_file",
      },
    );
  }
  if (lines[0] === "defect") throw new TypeError("a defect with secrets");
  const totalSteps = 2 * lines.length;
  return {
    id: request.id,
    spec: request.spec,
    specHash: "spec",
    model: request.model.manifest,
    modelFolder: request.model.folder,
    totalSteps,
    checkpointSteps: [totalSteps / 2, totalSteps],
    maxTokensPerMicroBatch: 1,
    maxPositions: 1,
    epochsAfter: (step) => step / totalSteps,
    microBatchesOf: () => [],
    tokensThrough: () => 0,
    linesOf: (_step, index) => [index + 1],
  };
}

/** One that does the same work each time. */
export function preparerOf(prepare: (request: PrepareRequest) => Promise<PlannedJob>): Preparer {
  return { prepare, plan: prepare, warm: () => Promise.resolve() };
}

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
  /** What /readyz finds. */
  readonly checks: ReadinessCheck[];
  /** Public keys that the broker was told to refuse. */
  readonly revoked: readonly string[];
  /** Headers of a worker that has joined. */
  worker(publicKey?: string): { readonly authorization: string };
  upload(text: string): Promise<FileRecord>;
  /** Resolves when the job, as it is now or becomes, satisfies the condition. */
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
  readonly checkAdapter?: NonNullable<JobServiceOptions["checkAdapter"]>;
  readonly maxUploadBytes?: number;
  /** A world that was used before, whose store and folder this one takes over. */
  readonly after?: World;
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
    await world.jobs.stop();
    if (options.after === undefined) await Deno.remove(folder, { recursive: true });
  }
}

async function createWorld(options: WorldOptions, folder: string, stopping: AbortSignal): Promise<World> {
  const clock = options.clock ?? systemClock;
  const hidePaths = createPathHider([["the model roots", `${folder}/models`], ["the data folder", folder]]);
  const store = withoutPaths(options.after?.store ?? options.store ?? createMemoryJobStore(), hidePaths);
  const artifacts = createArtifactStore(`${folder}/artifacts`);
  const maxUploadBytes = options.maxUploadBytes ?? 10_000;
  const shared = { store, artifacts, clock, newId: randomId };
  const files = createFileStore({ ...shared, folder: `${folder}/files`, maxUploadBytes });
  const uploads = createUploadStore({
    folder: `${folder}/uploads`,
    files,
    clock,
    newId: randomId,
    maxUploadBytes,
  });
  await Deno.mkdir(`${folder}/models/org/tiny`, { recursive: true });
  await Deno.writeTextFile(`${folder}/models/org/tiny/config.json`, "{}");
  await Deno.writeTextFile(`${folder}/models/org/tiny/model.safetensors`, "0123456789");
  const models = createModelRegistry({
    roots: [`${folder}/models`],
    hub: { endpoint: "http://127.0.0.1:9", token: null, cacheFolder: `${folder}/hub`, offline: true },
    hashes: createHashCache(`${folder}/hashes.json`),
  });
  const fleet = new FakeFleet(artifacts);
  const defects: string[] = [];
  const onDefect = (message: string, thrown: unknown) =>
    void defects.push(`${message}: ${messageOf(thrown)}`);
  const { prepare = fakePrepare, openPreparer = () => Promise.resolve(preparerOf(prepare)) } = options;
  const preparer = await openPreparer(`${folder}/prepared`);
  const jobs = createJobService({
    ...shared,
    files,
    models,
    fleet,
    ...preparer,
    checkModel: options.checkModel ?? ((spec) => Promise.resolve({ spec, warnings: [] })),
    ...(options.checkAdapter === undefined ? {} : { checkAdapter: options.checkAdapter }),
    onDefect,
  });
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
  const checks: ReadinessCheck[] = [{ name: "nats", problem: null }];
  const services: ApiServices = {
    ...shared,
    jobs,
    files,
    uploads,
    models,
    fleet,
    parseJobRequest,
    apiKeys: options.apiKeys ?? [],
    access,
    joinTokenTtlMs: null,
    addresses: (requestUrl) => ({
      natsUrl: `nats://${requestUrl.hostname}:4222`,
      natsUser: "",
      natsPassword: "",
      natsTakesToken: true,
      httpUrl: requestUrl.origin,
      coordinatorId: "c1",
    }),
    readiness: () => Promise.resolve(checks),
    maxUploadBytes,
    stopping,
    hidePaths,
    onDefect,
  };

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
    fleet,
    services,
    defects,
    checks,
    revoked,
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
