/** Puts a coordinator together and serves it; stops everything in reverse order. */
import type { Clock } from "../../shared/clock.ts";
import { detailOf } from "../../shared/log.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import { plaintextWarnings } from "../config/plaintext_warnings.ts";
import { readTls } from "../config/tls.ts";
import { createNatsDoor } from "../api/transport/nats_door.ts";
import type { FileStore } from "../jobs/files/file_store.ts";
import { createMetrics } from "../metrics/registry.ts";
import type { Standby } from "./leadership/standby.ts";
import { openBroker } from "./broker_access.ts";
import { openDataFolder } from "./data_folder.ts";
import { takeLead } from "./lead.ts";
import type { CoordinatorParts } from "./parts.ts";
import { watchDisk } from "../upkeep/disk_room.ts";
import { keepRetention } from "../upkeep/retention.ts";
import { serveApi } from "./serve_api.ts";
import { createServices } from "./services.ts";

/** How often expired files are deleted. */
const EXPIRY_INTERVAL_MS = 60_000;

export interface RunningCoordinator {
  /** The API's URL for people, without a trailing slash. */
  readonly url: string;
  readonly joinUrl: string;
  /** Resolves with a reason when the coordinator cannot continue: its broker is gone for good, or another one leads. */
  readonly broken: Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts everything, after another coordinator has ended if one leads. A failure stops what was started before it. Throws
 * `port_in_use`, `missing_dependency`, `storage`, or `conflict` if another coordinator leads and --no-standby is set.
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
  const folder = await openDataFolder(config, parts, standby, started);
  // Shut after the broker has ended: until then workers hear what it has for them.
  const natsDoor = createNatsDoor({ port: () => own?.webSocketPort() ?? null, clock });
  started.defer(natsDoor.close);
  const broker = await openBroker(config, parts, folder, tls, started);
  const { own } = broker;
  const leading = await takeLead(config, parts, folder, broker, standby);
  started.defer(() => leading.connected.close());

  const onDefect = (message: string, thrown: unknown) => log("error", `${message}: ${detailOf(thrown)}`);
  const metrics = createMetrics(onDefect);
  const services = await createServices(config, parts, folder, leading.connected.fleet, metrics, onDefect);
  started.defer(() => services.jobs.stop());
  started.defer(() => services.exports.stop());
  const stopping = new AbortController();
  const url = await serveApi(
    { config, clock, folder, broker, leading, services, metrics, tls, natsDoor, stopping, onDefect },
    started,
  );
  services.jobs.start();
  services.exports.start();
  const watched = { ...services, store: folder.store, clock, log };
  keepRetention({ ...watched, artifacts: folder.artifacts, rule: config.retention }, stopping.signal)
    .catch((thrown) => {
      if (!stopping.signal.aborted) onDefect("old results are no longer removed", thrown);
    });
  watchDisk(watched, stopping.signal).catch((thrown) => {
    if (!stopping.signal.aborted) onDefect("the disk is no longer watched", thrown);
  });
  expireFiles(services.files, clock, stopping.signal).catch((thrown) => {
    if (!stopping.signal.aborted) onDefect("expired files are no longer deleted", thrown);
  });

  const running = started.move();
  let isEnding = false;
  return {
    url,
    joinUrl: `${url}/join/${leading.identity.joinToken}`,
    broken: new Promise((resolve) => {
      for (const end of [own?.ended, leading.connected.lost]) {
        end?.then((reason) => isEnding || resolve(reason));
      }
    }),
    async stop() {
      isEnding = true;
      await running.disposeAsync();
    },
  };
}

/** Frees the space of expired files even if no request asks for them. */
async function expireFiles(files: FileStore, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(EXPIRY_INTERVAL_MS, signal);
    files.dropExpired();
  }
}
