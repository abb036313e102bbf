/** The coordinator's own broker in its data folder: on its previous port if possible, supervised, with signed accounts. */
import { updateNatsAccount } from "../../shared/bus/nats_account_update.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import type { Tls } from "../config/tls.ts";
import { assertTakesBytes } from "../storage/probe_folder.ts";
import type { Broker } from "./broker.ts";
import type { BrokerHealth } from "./broker_health.ts";
import { watchBroker } from "./broker_watch.ts";
import {
  type AccountKeys,
  brokerAccounts,
  fleetToken,
  masterOf,
  type Revocation,
} from "../../shared/bus/nats_accounts.ts";
import { findNatsServer } from "./nats_binary.ts";
import { startNatsServer } from "./nats_server.ts";
import { type SupervisedNatsServer, superviseNatsServer, type SupervisorOptions } from "./nats_supervisor.ts";

export interface OwnBroker extends SupervisedNatsServer {
  /** How the coordinator reaches it. */
  readonly broker: Broker;
  /**
   * Closes the connections of revoked workers. Only logs a failure, because the broker reads the revocations whenever it
   * starts.
   */
  enforce(revocations: readonly Revocation[]): Promise<void>;
}

interface OwnBrokerOptions extends Pick<SupervisorOptions, "clock" | "log"> {
  /** Reports whether the broker stores anything; one that does not is restarted. */
  readonly health: BrokerHealth;
  /** Null: without TLS. */
  readonly tls: Tls | null;
  readonly keys: AccountKeys;
  /** Read whenever the broker starts. */
  readonly revocations: () => readonly Revocation[];
}

/**
 * Takes the previous port if it becomes free in time, so that workers that still try it find the broker; otherwise any. A
 * configured port is the only one tried. Throws what `startNatsServer` throws.
 */
export async function startOwnBroker(
  config: CoordinatorConfig,
  lastPort: number,
  options: OwnBrokerOptions,
): Promise<OwnBroker> {
  const { keys, revocations, tls, clock, log, health } = options;
  const folder = `${config.dataFolder}/nats`;
  const seconds = () => Math.floor(clock.now() / 1000);
  const start = (port: number) =>
    startNatsServer({
      binary: findNatsServer(config.natsServerBinary, config.searchPath),
      ...{ folder, port, tls, clock, host: config.natsHost },
      accounts: () => brokerAccounts(keys, revocations(), seconds()),
    });
  const server = await startOnPort(config.natsPort, lastPort, { start, clock, log });
  const watching = new AbortController();
  const watched = watchBroker({
    ...{ health, clock, log, restart: server.restart, signal: watching.signal },
    assertRoom: () => assertTakesBytes(folder, "the broker's folder"),
  });
  const master = (account: keyof AccountKeys) => masterOf(keys[account], createNatsKeys("user"), seconds());
  const trust = trustIn(tls);
  return {
    ...server,
    async stop() {
      watching.abort();
      await watched;
      await server.stop();
    },
    broker: {
      ...{ url: server.url, user: null, password: null, credsPath: null },
      identities: { fleet: master("fleet"), streams: master("streams") },
      ...trust,
    },
    async enforce(now) {
      const identity = master("system");
      const system = { servers: server.url, name: "lorafleet accounts", identity, ...trust };
      await updateNatsAccount(system, fleetToken(keys, now, seconds())).catch((thrown) =>
        log("warn", `${messageOf(thrown)}; the broker refuses revoked workers after its next start`)
      );
    },
  };
}

/** @param wanted 0: the previous port, or any if that one is taken or unknown */
async function startOnPort(
  wanted: number,
  lastPort: number,
  options: SupervisorOptions,
): Promise<SupervisedNatsServer> {
  if (wanted !== 0) return await superviseNatsServer(wanted, options);
  try {
    return await superviseNatsServer(lastPort, options);
  } catch (thrown) {
    const isTaken = thrown instanceof LoraFleetError && thrown.code === "port_in_use";
    if (lastPort === 0 || !isTaken) throw thrown;
    const server = await superviseNatsServer(0, options);
    const message =
      `the broker's previous port ${lastPort} is taken: workers find the new one by the join URL`;
    options.log("warn", message);
    return server;
  }
}

function trustIn(tls: Tls | null): Pick<Broker, "tlsCa" | "tlsServerName"> {
  if (tls === null) return {};
  // The certificate need not name the loopback address by which the coordinator connects.
  return { ...(tls.ca === null ? {} : { tlsCa: tls.ca }), tlsServerName: tls.serverName };
}
