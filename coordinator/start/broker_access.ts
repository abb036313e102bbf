/** The broker and access to it: the coordinator's own nats-server, or the one that --nats-url names. */
import { LIMITS } from "../../shared/protocol/limits.ts";
import { type Access, createAccess } from "../access/access.ts";
import type { Broker } from "../broker/broker.ts";
import { type BrokerHealth, createBrokerHealth } from "../broker/broker_health.ts";
import { accountKeys } from "../broker/nats_accounts.ts";
import { type OwnBroker, startOwnBroker } from "../broker/own_broker.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import type { Tls } from "../config/tls.ts";
import type { DataFolder } from "./data_folder.ts";
import type { CoordinatorParts } from "./parts.ts";

export interface BrokerAccess {
  readonly broker: Broker;
  /** Null if --nats-url names a broker. */
  readonly own: OwnBroker | null;
  readonly access: Access;
  readonly health: BrokerHealth;
}

/** Throws what `startOwnBroker` throws. */
export async function openBroker(
  config: CoordinatorConfig,
  { clock, log }: Pick<CoordinatorParts, "clock" | "log">,
  { accessStore, identity }: DataFolder,
  tls: Tls | null,
  started: AsyncDisposableStack,
): Promise<BrokerAccess> {
  const health = createBrokerHealth(clock);
  const keys = accountKeys(identity.natsKeys);
  let own: OwnBroker | null = null;
  const access = createAccess({
    store: accessStore,
    account: keys.fleet,
    clock,
    lifetimeMs: LIMITS.credentialLifetimeMs,
    enforce: async (revocations) => await own?.enforce(revocations),
  });
  const { natsUrl, natsCredsPath, natsHost } = config;
  if (natsUrl !== null) {
    const broker = { url: natsUrl, user: null, password: null, credsPath: natsCredsPath, identities: null };
    return { broker, own, access, health };
  }
  const { revocations } = access;
  own = await startOwnBroker(config, identity.natsPort, { keys, revocations, tls, clock, log, health });
  started.defer(own.stop);
  log("info", `nats-server ${own.version} listens on ${natsHost}:${own.port}`);
  return { broker: own.broker, own, access, health };
}
