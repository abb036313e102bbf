/** Puts a coordinator together and serves it; what is started is stopped in the opposite order. */
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError, messageOf } from "../shared/errors.ts";
import { parseJobRequest } from "../shared/job_spec.ts";
import { createApp } from "./app.ts";
import { createArtifactStore } from "./artifact_store.ts";
import type { CoordinatorConfig } from "./config.ts";
import { loadIdentity, saveIdentity } from "./config_identity.ts";
import type { Identity } from "./config_identity.ts";
import { createFileStore } from "./file_store.ts";
import type { Fleet } from "./fleet.ts";
import type { FleetOptions } from "./job_runner.ts";
import { createJobService } from "./job_service.ts";
import type { JobServiceOptions } from "./job_service.ts";
import { brokerForWorkers, ownAddress } from "./main_addresses.ts";
import { createModelRegistry } from "./model_registry.ts";
import { createHashCache } from "./model_registry_files.ts";
import { findNatsServer, startNatsServer } from "./nats_server.ts";
import type { NatsServer } from "./nats_server.ts";
import type { ReadinessCheck } from "./routes/api.ts";
import { randomId } from "./store/ids.ts";
import { openSqliteJobStore } from "./store/sqlite_job_store.ts";
import { removeUnfinishedFiles } from "./store/streamed_file.ts";

const COORDINATOR_USER = "coordinator";
const WORKER_USER = "worker";
/** Open downloads may go on for so long after the coordinator was told to stop. */
const SHUTDOWN_GRACE_MS = 2000;

/** How the coordinator reaches its broker. */
export interface Broker {
  readonly url: string;
  readonly user: string | null;
  readonly password: string | null;
  readonly credsPath: string | null;
}

/** The fleet with its connection to the broker. */
export interface ConnectedFleet {
  readonly fleet: Fleet;
  /** Null while the broker answers. */
  problem(): Promise<string | null>;
  close(): Promise<void>;
}

export interface CoordinatorParts {
  readonly clock: Clock;
  readonly connectFleet: (
    broker: Broker,
    options: Pick<FleetOptions, "artifacts" | "coordinatorId">,
  ) => Promise<ConnectedFleet>;
  readonly prepare: JobServiceOptions["prepare"];
  readonly checkModel: JobServiceOptions["checkModel"];
  readonly log: (level: "info" | "warn" | "error", message: string) => void;
}

export interface RunningCoordinator {
  /** Where the API is, for a person: without a slash at the end. */
  readonly url: string;
  readonly joinUrl: string;
  /** Resolves with a reason when the coordinator cannot go on: its broker has ended. */
  readonly broken: Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts everything; whatever fails stops what was started before. Throws a `LoraFleetError`: `port_in_use`,
 * `missing_dependency`, `conflict` (the data folder is in use), `storage`.
 */
export async function startCoordinator(
  config: CoordinatorConfig,
  parts: CoordinatorParts,
): Promise<RunningCoordinator> {
  const { clock, log } = parts;
  await using started = new AsyncDisposableStack();

  // First the store: its lock keeps a second coordinator from touching anything else in the folder.
  const store = openSqliteJobStore(`${config.dataFolder}/coordinator.sqlite`);
  started.defer(() => store.close());
  const identity = await loadIdentity(config.dataFolder);
  await removeUnfinishedFiles(`${config.dataFolder}/artifacts`);
  const artifacts = createArtifactStore(`${config.dataFolder}/artifacts`);

  const nats = config.natsUrl === null ? await startOwnBroker(config, identity, clock) : null;
  if (nats !== null) {
    started.defer(() => nats.stop());
    log("info", `nats-server ${nats.version} listens on ${config.natsHost}:${nats.port}`);
  }
  const connected = await parts.connectFleet(
    nats === null ? { url: config.natsUrl!, user: null, password: null, credsPath: config.natsCredsPath } : {
      url: nats.url,
      user: COORDINATOR_USER,
      password: identity.natsCoordinatorPassword,
      credsPath: null,
    },
    {
      artifacts,
      coordinatorId: identity.coordinatorId,
    },
  );
  started.defer(() => connected.close());
  const { fleet } = connected;

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
    prepare: parts.prepare,
    checkModel: parts.checkModel,
    onDefect,
  });
  started.defer(() => jobs.stop());

  const stopping = new AbortController();
  const broker = brokerForWorkers(config, nats?.port ?? null, {
    user: WORKER_USER,
    password: identity.natsWorkerPassword,
  });
  const app = createApp({
    ...shared,
    jobs,
    files,
    models,
    fleet,
    parseJobRequest,
    apiKeys: config.apiKeys,
    joinToken: identity.joinToken,
    joinReply: (requestUrl) => ({
      ...broker(requestUrl),
      httpUrl: config.publicUrl ?? requestUrl.origin,
      token: identity.joinToken,
      coordinatorId: identity.coordinatorId,
    }),
    readiness: () => readiness(store, connected),
    maxUploadBytes: config.maxUploadBytes,
    stopping: stopping.signal,
    onDefect,
  });
  const server = listen(config, (request) => app.fetch(request));
  started.defer(async () => {
    stopping.abort();
    const drained = new AbortController();
    const late = clock.sleep(SHUTDOWN_GRACE_MS, drained.signal).catch(() => {});
    await Promise.race([server.shutdown(), late]);
    drained.abort();
  });
  jobs.start();

  const url = config.publicUrl ?? ownAddress(config.host, server.addr.port);
  const running = started.move();
  let ending = false;
  return {
    url,
    joinUrl: `${url}/join/${identity.joinToken}`,
    broken: new Promise((resolve) => nats?.ended.then((reason) => ending || resolve(reason))),
    async stop() {
      ending = true;
      await running.disposeAsync();
    },
  };
}

/** Takes last time's port again where it can, so that workers which still look for it find the broker. */
async function startOwnBroker(
  config: CoordinatorConfig,
  identity: Identity,
  clock: Clock,
): Promise<NatsServer> {
  const start = (port: number) =>
    startNatsServer({
      binary: findNatsServer(config.natsServerBinary, config.searchPath),
      folder: `${config.dataFolder}/nats`,
      host: config.natsHost,
      port,
      coordinator: { user: COORDINATOR_USER, password: identity.natsCoordinatorPassword },
      worker: { user: WORKER_USER, password: identity.natsWorkerPassword },
      clock,
    });
  let server: NatsServer;
  try {
    server = await start(config.natsPort === 0 ? identity.natsPort : config.natsPort);
  } catch (thrown) {
    const remembered = config.natsPort === 0 && identity.natsPort !== 0;
    if (!remembered || !(thrown instanceof LoraFleetError) || thrown.code !== "port_in_use") throw thrown;
    server = await start(0);
  }
  if (server.port !== identity.natsPort) {
    await saveIdentity(config.dataFolder, { ...identity, natsPort: server.port });
  }
  return server;
}

function listen(
  config: CoordinatorConfig,
  handler: (request: Request) => Response | Promise<Response>,
): Deno.HttpServer<Deno.NetAddr> {
  try {
    return Deno.serve({ hostname: config.host, port: config.port, onListen: () => {} }, handler);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.AddrInUse) {
      throw new LoraFleetError(
        "port_in_use",
        `cannot listen on ${config.host}:${config.port}: the port is taken; stop what holds it, or choose another --port`,
        { param: "port", cause: thrown },
      );
    }
    throw new LoraFleetError(
      "usage",
      `cannot listen on ${config.host}:${config.port}: ${messageOf(thrown)}`,
      {
        param: "host",
        cause: thrown,
      },
    );
  }
}

async function readiness(
  store: { unfinishedJobs(): unknown },
  connected: ConnectedFleet,
): Promise<readonly ReadinessCheck[]> {
  let problem: string | null = null;
  try {
    store.unfinishedJobs();
  } catch (thrown) {
    problem = messageOf(thrown);
  }
  return [{ name: "store", problem }, { name: "nats", problem: await connected.problem() }];
}

function detailOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
}
