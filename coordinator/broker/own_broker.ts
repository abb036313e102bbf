/** The coordinator's own broker in its data folder: on last time's port where it can, kept running, after the last one's end. */
import { updateNatsAccount } from "../../shared/bus/nats_account_update.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { BrokerHealth } from "./broker_health.ts";
import { watchBroker } from "./broker_watch.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import type { Broker } from "./broker.ts";
import { type AccountKeys, brokerAccounts, fleetToken, masterOf, type Revocation } from "./nats_accounts.ts";
import { findNatsServer, startNatsServer } from "./nats_server.ts";
import { superviseNatsServer } from "./nats_supervisor.ts";
import type { SupervisedNatsServer, SupervisorOptions } from "./nats_supervisor.ts";
import { assertTakesBytes } from "../storage/probe_folder.ts";
import type { Tls } from "../config/tls.ts";

export interface OwnBroker extends SupervisedNatsServer {
  /** How the coordinator reaches it. */
  readonly broker: Broker;
  /**
   * Who is revoked loses the connection now. A broker that cannot be told reads it when it starts again, so that this only
   * logs what goes wrong.
   */
  enforce(revocations: readonly Revocation[]): Promise<void>;
}

export interface OwnBrokerOptions extends Pick<SupervisorOptions, "clock" | "log"> {
  /** Where it is reported whether the broker stores anything; one that does not is started again. */
  readonly health: BrokerHealth;
  /** Null: without TLS. */
  readonly tls: Tls | null;
  readonly keys: AccountKeys;
  /** As they are whenever the broker starts. */
  readonly revocations: () => readonly Revocation[];
}

/**
 * Takes last time's port again where that becomes free in time, so that workers which still look for it find the broker;
 * otherwise any. A port that was chosen is insisted on. Throws what `startNatsServer` throws.
 */
export async function startOwnBroker(
  config: CoordinatorConfig,
  lastPort: number,
  { keys, revocations, tls, clock, log, health }: OwnBrokerOptions,
): Promise<OwnBroker> {
  const folder = `${config.dataFolder}/nats`;
  const seconds = () => Math.floor(clock.now() / 1000);
  const master = (account: keyof AccountKeys) => masterOf(keys[account], createNatsKeys("user"), seconds());
  const start = (port: number) =>
    startNatsServer({
      binary: findNatsServer(config.natsServerBinary, config.searchPath),
      folder,
      host: config.natsHost,
      port,
      accounts: () => brokerAccounts(keys, revocations(), seconds()),
      tls,
      clock,
    });
  const supervise = (port: number) => superviseNatsServer(port, { start, clock, log });
  const wanted = config.natsPort === 0 ? lastPort : config.natsPort;
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
  const watching = new AbortController();
  const watched = watchBroker({
    ...{ health, clock, log, restart: server.restart, signal: watching.signal },
    assertRoom: () => assertTakesBytes(folder, "the broker's folder"),
  });
  const trust = tls === null ? {} : {
    ...(tls.ca === null ? {} : { tlsCa: tls.ca }),
    // By loopback, an address that the certificate need not hold.
    tlsServerName: tls.serverName,
  };
  return {
    ...server,
    async stop() {
      watching.abort();
      await watched;
      await server.stop();
    },
    broker: {
      url: server.url,
      user: null,
      password: null,
      credsPath: null,
      identities: { fleet: master("fleet"), streams: master("streams") },
      ...trust,
    },
    async enforce(now) {
      const system = {
        servers: server.url,
        name: "lorafleet accounts",
        identity: master("system"),
        ...trust,
      };
      try {
        await updateNatsAccount(system, fleetToken(keys, now, seconds()));
      } catch (thrown) {
        log("warn", `${messageOf(thrown)}; whoever is revoked is refused once it starts again`);
      }
    },
  };
}
