/** The coordinator's own broker in its data folder: on last time's port where it can, kept running, after the last one's end. */
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError } from "../shared/errors.ts";
import type { CoordinatorConfig } from "./config.ts";
import type { Identity } from "./config_identity.ts";
import type { Broker } from "./connect_fleet.ts";
import { findNatsServer, startNatsServer } from "./nats_server.ts";
import { superviseNatsServer } from "./nats_supervisor.ts";
import type { SupervisedNatsServer, SupervisorOptions } from "./nats_supervisor.ts";

export const WORKER_USER = "worker";
const COORDINATOR_USER = "coordinator";
/** The port of a process that has just ended may be taken for a moment more. */
const PORT_WAIT_MS = 3000;
const PORT_CHECK_MS = 100;

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
  if (wanted !== 0) await portIsFree(config.natsHost, wanted, clock);
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

/** Waits for it; whether it is free in the end shows when the broker starts. */
async function portIsFree(hostname: string, port: number, clock: Clock): Promise<void> {
  for (const deadline = clock.now() + PORT_WAIT_MS; clock.now() < deadline;) {
    try {
      return Deno.listen({ hostname, port }).close();
    } catch (thrown) {
      if (!(thrown instanceof Deno.errors.AddrInUse)) return;
    }
    await clock.sleep(PORT_CHECK_MS);
  }
}
