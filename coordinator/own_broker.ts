/** The coordinator's own broker in its data folder: on last time's port where it can, kept running, after the last one's end. */
import { LoraFleetError } from "../shared/errors.ts";
import type { CoordinatorConfig } from "./config.ts";
import type { Identity } from "./config_identity.ts";
import type { Broker } from "./connect_fleet.ts";
import { findNatsServer, startNatsServer } from "./nats_server.ts";
import { superviseNatsServer } from "./nats_supervisor.ts";
import type { SupervisedNatsServer, SupervisorOptions } from "./nats_supervisor.ts";

export const WORKER_USER = "worker";
const COORDINATOR_USER = "coordinator";

export interface OwnBroker extends SupervisedNatsServer {
  /** How the coordinator reaches it. */
  readonly broker: Broker;
}

/**
 * Takes last time's port again where that becomes free in time, so that workers which still look for it find the broker;
 * otherwise any. A port that was chosen is insisted on. Throws what `startNatsServer` throws.
 */
export async function startOwnBroker(
  config: CoordinatorConfig,
  identity: Identity,
  { clock, log }: Pick<SupervisorOptions, "clock" | "log">,
): Promise<OwnBroker> {
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
  const supervise = (port: number) => superviseNatsServer(port, { start, clock, log });
  const wanted = config.natsPort === 0 ? identity.natsPort : config.natsPort;
  let server: SupervisedNatsServer;
  try {
    server = await supervise(wanted);
  } catch (thrown) {
    const isRemembered = config.natsPort === 0 && wanted !== 0;
    if (!isRemembered || !(thrown instanceof LoraFleetError) || thrown.code !== "port_in_use") throw thrown;
    server = await supervise(0);
    log(
      "warn",
      `port ${wanted}, which the broker had before, is taken: workers find the new one by the join URL`,
    );
  }
  return {
    ...server,
    broker: {
      url: server.url,
      user: COORDINATOR_USER,
      password: identity.natsCoordinatorPassword,
      credsPath: null,
    },
  };
}
