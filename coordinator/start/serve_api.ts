/** Serves the API and its readiness checks. */
import { VERSION } from "../../shared/protocol/release.ts";
import { createApiKeys } from "../access/api_keys.ts";
import { createAuditLog } from "../access/audit_log.ts";
import { createApp } from "../api/app.ts";
import { createReadiness } from "../api/readiness.ts";
import type { NatsDoor } from "../api/transport/nats_door.ts";
import { serveHttp } from "../api/transport/http_server.ts";
import { addProcessMetrics } from "../metrics/process_metrics.ts";
import type { Metrics } from "../metrics/registry.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import type { Tls } from "../config/tls.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { randomText } from "../storage/ids.ts";
import { openBackup } from "../upkeep/backup/backup.ts";
import type { SnapshotSource } from "../upkeep/backup/snapshot.ts";
import { removeRunning, writeRunning } from "../upkeep/running.ts";
import { assertTakesBytes } from "../storage/probe_folder.ts";
import { brokerForWorkers, ownAddress } from "./addresses.ts";
import type { BrokerAccess } from "./broker_access.ts";
import type { DataFolder } from "./data_folder.ts";
import type { Leading } from "./lead.ts";
import type { Services } from "./services.ts";
import type { CoordinatorParts } from "./parts.ts";

/** How long open downloads may continue after the coordinator starts to stop. */
const SHUTDOWN_GRACE_MS = 2000;

interface ApiParts {
  readonly config: CoordinatorConfig;
  readonly clock: CoordinatorParts["clock"];
  readonly folder: DataFolder;
  readonly broker: BrokerAccess;
  readonly leading: Leading;
  readonly services: Services;
  readonly metrics: Metrics;
  readonly tls: Tls | null;
  readonly natsDoor: NatsDoor;
  readonly stopping: AbortController;
  readonly onDefect: (message: string, thrown: unknown) => void;
}

/** Serves until `started` is disposed. Returns the API's URL. Throws `port_in_use`. */
export async function serveApi(parts: ApiParts, started: AsyncDisposableStack): Promise<string> {
  const { config, clock, folder, broker, leading, services, metrics, tls, natsDoor, stopping, onDefect } =
    parts;
  const { store, artifacts, hidePaths } = folder;
  const { apiKeys: configuredKeys, joinTokenTtlMs, maxUploadBytes, publicUrl } = config;
  const brokerAddress = brokerForWorkers(config, broker.own?.port ?? null, tls, {
    knowsWorkers: broker.knowsWorkers,
    ca: broker.broker.tlsCa ?? null,
  });
  const readiness = readinessOf(parts);
  const process = { clock, dataFolder: config.dataFolder, version: VERSION, readiness };
  addProcessMetrics(metrics, { ...process, signal: stopping.signal });
  const folderKey = `lfkey-${randomText(32)}`;
  const app = createApp({
    ...services,
    ...{ store, artifacts, clock, hidePaths, onDefect },
    ...{ parseJobRequest, configuredKeys, joinTokenTtlMs, maxUploadBytes },
    apiKeys: createApiKeys(folder.accessStore, clock),
    folderKey,
    openBackup: () => openBackup(snapshotSource(config.dataFolder, folder), clock.now()),
    audit: createAuditLog(`${config.dataFolder}/audit.jsonl`, clock, onDefect),
    access: broker.access,
    fleet: leading.connected.fleet,
    addresses: (requestUrl) => ({
      ...brokerAddress(requestUrl),
      httpUrl: publicUrl ?? requestUrl.origin,
      coordinatorId: leading.identity.coordinatorId,
    }),
    ...{ readiness, metrics },
    stopping: stopping.signal,
  });
  const handler = (request: Request) => app.fetch(request);
  const server = await serveHttp({
    ...{ hostname: config.host, port: config.port, tls, clock, handler, onDefect, natsDoor },
  });
  started.defer(async () => {
    stopping.abort();
    const drained = new AbortController();
    const late = clock.sleep(SHUTDOWN_GRACE_MS, drained.signal).catch(() => {});
    await Promise.race([server.shutdown(), late]);
    drained.abort();
  });
  const url = ownAddress(tls === null ? "http" : "https", config.host, server.port);
  await writeRunning(config.dataFolder, { url, key: folderKey, tlsCa: tls?.ca ?? null });
  started.defer(() => removeRunning(config.dataFolder));
  return publicUrl ?? url;
}

function snapshotSource(dataFolder: string, { store, accessStore }: DataFolder): SnapshotSource {
  const databases = { "coordinator.sqlite": store, "access.sqlite": accessStore };
  return { dataFolder, copyDatabase: (name, path) => databases[name].copyTo(path) };
}

function readinessOf({ config, clock, folder, broker, services, leading: { connected } }: ApiParts) {
  return createReadiness(clock, {
    store: () => folder.store.probe(),
    data_folder: () => assertTakesBytes(config.dataFolder),
    disk_space: () => services.room.assertEnough(),
    nats: () => connected.assertConnected(),
    streams: async () => {
      // Reports a full disk before our own broker fails to store something.
      if (broker.own !== null) await assertTakesBytes(`${config.dataFolder}/nats`, "the broker's folder");
      await connected.assertStores();
    },
  });
}
