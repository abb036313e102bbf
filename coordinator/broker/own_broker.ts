/** The coordinator's own broker in its data folder: on its previous port if possible, supervised, with signed accounts. */
import { updateNatsAccount } from "../../shared/bus/nats_account_update.ts";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import { DEFAULT_NATS_PORT } from "../config/nats_settings.ts";
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
      ...{ folder, port, tls, clock, host: config.natsHost, takesWebSockets: config.onePort },
      accounts: () => brokerAccounts(keys, revocations(), seconds()),
    });
  const server = await startOnPort(config, lastPort, { start, clock, log });
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

/** Without a configured port: the previous one or, at first, NATS's own; any if that one is taken. */
async function startOnPort(
  { natsPort: wanted, natsHost: host }: Pick<CoordinatorConfig, "natsPort" | "natsHost">,
  lastPort: number,
  options: SupervisorOptions,
): Promise<SupervisedNatsServer> {
  if (wanted !== 0) return await superviseNatsServer(wanted, options);
  const isFirst = lastPort === 0;
  const preferred = isFirst ? DEFAULT_NATS_PORT : lastPort;
  const which = isFirst
    ? `port ${preferred} is taken: the broker takes any free one, and keeps it; --nats-port chooses one`
    : `the broker's previous port ${preferred} is taken: workers find the new one by the join URL`;
  try {
    // A previous port may become free in a moment, as its broker ends; a strange one need not be waited for.
    if (!isFirst || isFree(host, preferred)) return await superviseNatsServer(preferred, options);
  } catch (thrown) {
    const isTaken = thrown instanceof LoraFleetError && thrown.code === "port_in_use";
    if (!isTaken) throw thrown;
  }
  const server = await superviseNatsServer(0, options);
  options.log("warn", which);
  return server;
}

function isFree(hostname: string, port: number): boolean {
  try {
    Deno.listen({ hostname, port }).close();
    return true;
  } catch (thrown) {
    // Any other problem is told when nats-server is started there.
    return !(thrown instanceof Deno.errors.AddrInUse);
  }
}

function trustIn(tls: Tls | null): Pick<Broker, "tlsCa" | "tlsServerName"> {
  if (tls === null) return {};
  // The certificate need not name the loopback address by which the coordinator connects.
  return { ...(tls.ca === null ? {} : { tlsCa: tls.ca }), tlsServerName: tls.serverName };
}
