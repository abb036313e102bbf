/** Puts a coordinator together and serves it; what is started is stopped in the opposite order. */
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { LIMITS } from "../shared/protocol/limits.ts";
import type { Log } from "../shared/log.ts";
import { parseJobRequest } from "./job_request/parse.ts";
import { createAccess } from "./access/access.ts";
import { serveHttp } from "./api/transport/http_server.ts";
import { layoutOfJob } from "./planning/adapter_layout.ts";
import { createApp } from "./api/app.ts";
import { createArtifactStore } from "./storage/artifact_store.ts";
import type { CoordinatorConfig } from "./config/config.ts";
import { loadIdentity, saveIdentity } from "./identity.ts";
import type { Identity } from "./identity.ts";
import type { Broker } from "./broker/broker.ts";
import type { ConnectedFleet, ConnectOptions } from "./connect_fleet.ts";
import { createFileStore } from "./jobs/file_store.ts";
import type { FileStore } from "./jobs/file_store.ts";
import { createPathHider, withoutPaths } from "./api/hidden_paths.ts";
import { createJobService } from "./jobs/job_service.ts";
import type { JobServiceOptions } from "./jobs/job_service.ts";
import { brokerForWorkers, ownAddress } from "./addresses.ts";
import { createModelRegistry } from "./base_models/registry.ts";
import { createHashCache } from "./base_models/files.ts";
import { accountKeys } from "./broker/nats_accounts.ts";
import { type OwnBroker, startOwnBroker } from "./broker/own_broker.ts";
import { createBrokerHealth } from "./broker/broker_health.ts";
import { createReadiness } from "./api/readiness.ts";
import { waitToLead } from "./leadership/standby.ts";
import type { Standby } from "./leadership/standby.ts";
import { makePrivate } from "./storage/private_folder.ts";
import type { Preparer } from "./planning/preparer.ts";
import { openAccessStore } from "./access/access_store.ts";
import { randomId, randomText } from "./storage/ids.ts";
import { logJobEvents } from "./jobs/logged_job_store.ts";
import { assertTakesBytes } from "./storage/probe_folder.ts";
import { openSqliteJobStore } from "./jobs/sqlite_job_store.ts";
import { removeUnfinishedFiles } from "./storage/streamed_file.ts";
import { createUploadStore } from "./jobs/upload_store.ts";
import { plaintextWarnings } from "./config/plaintext_warnings.ts";
import { readTls } from "./config/tls.ts";

/** How often a coordinator that stands by looks whether the data folder is free: it shall lead within a second. */
const FOLDER_INTERVAL_MS = 200;
/** So many processes on this folder, one after the other, may end while they wait to lead. */
const MOST_HOLDERS = 100;
/** How often expired files are looked for. */
const EXPIRY_INTERVAL_MS = 60_000;
/** Open downloads may go on for so long after the coordinator was told to stop. */
const SHUTDOWN_GRACE_MS = 2000;

export interface CoordinatorParts {
  readonly clock: Clock;
  /** Ends the waiting for another coordinator's end, with its reason. */
  readonly signal: AbortSignal;
  readonly connectFleet: (broker: Broker, options: ConnectOptions) => Promise<ConnectedFleet>;
  /** Keeps prepared data in `folder`, which nobody else uses. */
  readonly openPreparer: (folder: string) => Promise<Preparer>;
  readonly checkModel: JobServiceOptions["checkModel"];
  readonly checkAdapter?: NonNullable<JobServiceOptions["checkAdapter"]>;
  readonly log: Log;
}

export interface RunningCoordinator {
  /** Where the API is, for a person: without a slash at the end. */
  readonly url: string;
  readonly joinUrl: string;
  /** Resolves with a reason when the coordinator cannot go on: its broker has ended for good, or another one leads. */
  readonly broken: Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts everything, where another coordinator leads after that one's end; whatever fails stops what was started before.
 * Throws a `LoraFleetError`: `port_in_use`, `missing_dependency`, `storage`, `conflict` (another coordinator leads, and is
 * not to be waited for).
 */
export async function startCoordinator(
  config: CoordinatorConfig,
  parts: CoordinatorParts,
): Promise<RunningCoordinator> {
  const { clock, log } = parts;
  await using started = new AsyncDisposableStack();

  const tls = config.tls === null ? null : await readTls(config.tls);
  for (const warning of plaintextWarnings(config)) log("warn", warning);
  const standby: Standby = { isAllowed: config.standby, clock, signal: parts.signal, log };
  // First the store: its lock keeps a second coordinator from touching anything else in the folder.
  const jobStore = await waitToLead(
    standby,
    `the data folder ${quote(config.dataFolder)}`,
    FOLDER_INTERVAL_MS,
    () => openSqliteJobStore(`${config.dataFolder}/coordinator.sqlite`, (message) => log("error", message)),
  );
  started.defer(() => jobStore.close());
  await makePrivate(config.dataFolder, config.modelRoots, (message) => log("warn", message));
  const hidePaths = createPathHider([
    ...config.modelRoots.map((root) => ["the model roots", root] as const),
    ["the hub's cache", config.hub.cacheFolder],
    ["the data folder", config.dataFolder],
  ]);
  // The log is outside: who runs the coordinator wants the paths.
  const store = logJobEvents(withoutPaths(jobStore, hidePaths), clock, log);
  const loaded = await loadIdentity(config.dataFolder);
  await removeUnfinishedFiles(`${config.dataFolder}/artifacts`);
  const artifacts = createArtifactStore(`${config.dataFolder}/artifacts`);

  const accessStore = openAccessStore(`${config.dataFolder}/access.sqlite`);
  started.defer(() => accessStore.close());
  const health = createBrokerHealth(clock);
  const keys = accountKeys(loaded.natsKeys);
  let nats: OwnBroker | null = null;
  const access = createAccess({
    store: accessStore,
    account: keys.fleet,
    clock,
    lifetimeMs: LIMITS.credentialLifetimeMs,
    enforce: async (revocations) => await nats?.enforce(revocations),
  });
  if (config.natsUrl === null) {
    const { revocations } = access;
    nats = await startOwnBroker(config, loaded.natsPort, { keys, revocations, tls, clock, log, health });
  }
  if (nats !== null) {
    started.defer(nats.stop);
    log("info", `nats-server ${nats.version} listens on ${config.natsHost}:${nats.port}`);
  }
  const joinToken = access.defaultToken(loaded.joinToken, "printed at the start", config.joinTokenTtlMs);
  const identity: Identity = { ...loaded, joinToken, natsPort: nats?.port ?? loaded.natsPort };
  const holder = randomText(16);
  // Before it leads: whoever comes after a process that was killed at this moment need not wait for its lease.
  const leaseHolders = [...loaded.leaseHolders, holder].slice(-MOST_HOLDERS);
  await saveIdentity(config.dataFolder, { ...identity, leaseHolders });
  const connected = await parts.connectFleet(
    nats?.broker ?? {
      url: config.natsUrl!,
      user: null,
      password: null,
      credsPath: config.natsCredsPath,
      identities: null,
    },
    {
      artifacts,
      quarantines: accessStore,
      // What cannot be read here no worker can load either; it says so better.
      onFlood: (worker, reason) => {
        log("error", `${reason}${nats === null ? "" : ": it is thrown out, and its connections are closed"}`);
        // At another broker workers are one user: any of them could speak so in the name of this one.
        if (nats !== null) {
          access.revokeWorker(worker).catch((thrown) =>
            log("error", `${worker} is not revoked: ${messageOf(thrown)}`)
          );
        }
      },
      layoutOf: (planned) => layoutOfJob(planned).catch(() => null),
      health,
      coordinatorId: loaded.coordinatorId,
      // Who had the folder's lock before is gone: its lease need not be waited for.
      lease: { holder, succeeds: loaded.leaseHolders },
      standby,
    },
  );
  started.defer(() => connected.close());
  const { fleet } = connected;
  await saveIdentity(config.dataFolder, { ...identity, leaseHolders: [holder] });

  const onDefect = (message: string, thrown: unknown) =>
    log(
      "error",
      thrown instanceof LoraFleetError ? `${message}: ${thrown.message}` : `${message}: ${detailOf(thrown)}`,
    );
  const shared = { store, artifacts, clock, newId: randomId };
  const files = createFileStore({
    ...shared,
    folder: `${config.dataFolder}/files`,
    maxUploadBytes: config.maxUploadBytes,
  });
  await files.sweep();
  const uploads = createUploadStore({
    ...{ files, clock, newId: randomId, maxUploadBytes: config.maxUploadBytes },
    folder: `${config.dataFolder}/uploads`,
  });
  await uploads.sweep();
  const models = createModelRegistry({
    roots: config.modelRoots,
    hub: config.hub,
    hashes: createHashCache(`${config.dataFolder}/model_hashes.json`),
  });
  const jobs = createJobService({
    ...shared,
    files,
    models,
    fleet,
    ...await parts.openPreparer(`${config.dataFolder}/prepared`),
    checkModel: parts.checkModel,
    ...(parts.checkAdapter === undefined ? {} : { checkAdapter: parts.checkAdapter }),
    onDefect,
    log,
  });
  started.defer(() => jobs.stop());

  const stopping = new AbortController();
  const broker = brokerForWorkers(config, nats?.port ?? null, tls);
  const app = createApp({
    ...shared,
    jobs,
    files,
    uploads,
    models,
    fleet,
    parseJobRequest,
    apiKeys: config.apiKeys,
    access,
    joinTokenTtlMs: config.joinTokenTtlMs,
    addresses: (requestUrl) => ({
      ...broker(requestUrl),
      httpUrl: config.publicUrl ?? requestUrl.origin,
      coordinatorId: identity.coordinatorId,
    }),
    readiness: createReadiness(clock, {
      store: () => store.probe(),
      data_folder: () => assertTakesBytes(config.dataFolder),
      nats: () => connected.assertConnected(),
      streams: async () => {
        // An own broker without room is told of before it has failed to store something.
        if (nats !== null) await assertTakesBytes(`${config.dataFolder}/nats`, "the broker's folder");
        await connected.assertStores();
      },
    }),
    maxUploadBytes: config.maxUploadBytes,
    stopping: stopping.signal,
    hidePaths,
    onDefect,
  });
  const server = await serveHttp({
    hostname: config.host,
    port: config.port,
    tls,
    clock,
    handler: (request) => app.fetch(request),
    onDefect,
  });
  started.defer(async () => {
    stopping.abort();
    const drained = new AbortController();
    const late = clock.sleep(SHUTDOWN_GRACE_MS, drained.signal).catch(() => {});
    await Promise.race([server.shutdown(), late]);
    drained.abort();
  });
  jobs.start();
  expireFiles(files, clock, stopping.signal).catch((thrown) => {
    if (!stopping.signal.aborted) onDefect("expired files are not deleted any more", thrown);
  });

  const url = config.publicUrl ?? ownAddress(tls === null ? "http" : "https", config.host, server.port);
  const running = started.move();
  let ending = false;
  return {
    url,
    joinUrl: `${url}/join/${identity.joinToken}`,
    broken: new Promise((resolve) => {
      for (const end of [nats?.ended, connected.lost]) end?.then((reason) => ending || resolve(reason));
    }),
    async stop() {
      ending = true;
      await running.disposeAsync();
    },
  };
}

/** Their space is wanted back even where nobody asks for them any more. */
async function expireFiles(files: FileStore, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(EXPIRY_INTERVAL_MS, signal);
    files.dropExpired();
  }
}

function detailOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
}
