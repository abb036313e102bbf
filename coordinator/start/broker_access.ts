/** The broker and access to it: the coordinator's own nats-server, or the one that --nats-url names. */
import { LIMITS } from "../../shared/protocol/limits.ts";
import { messageOf } from "../../shared/errors.ts";
import { type Access, createAccess } from "../access/access.ts";
import type { Broker } from "../broker/broker.ts";
import { type BrokerHealth, createBrokerHealth } from "../broker/broker_health.ts";
import { type ForeignAccounts, readForeignAccounts } from "../broker/foreign_accounts.ts";
import { accountKeys, type Revocation } from "../../shared/bus/nats_accounts.ts";
import { withoutCredentials } from "../../shared/bus/nats_servers.ts";
import { type OwnBroker, startOwnBroker } from "../broker/own_broker.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import { readAuthority, type Tls } from "../config/tls.ts";
import type { DataFolder } from "./data_folder.ts";
import type { CoordinatorParts } from "./parts.ts";
import { assertUsable } from "./probe_broker.ts";

export interface BrokerAccess {
  readonly broker: Broker;
  /** Null if --nats-url names a broker. */
  readonly own: OwnBroker | null;
  /** Whether the broker knows each worker by its token. */
  readonly knowsWorkers: boolean;
  readonly access: Access;
  readonly health: BrokerHealth;
  /** Throws if the fleet could not work at the broker. */
  readonly assertUsable: () => Promise<void>;
}

/**
 * Of tokens where the broker does not learn of revoked workers: for so long one may still be heard. Not shorter, as a clock may be
 * off by an hour and a coordinator away for another.
 */
const UNREVOKED_LIFETIME_MS = 6 * 3_600_000;

type Parts = Pick<CoordinatorParts, "clock" | "log">;

/** Throws what `startOwnBroker` throws, `usage` for a broker that --nats-url names. */
export async function openBroker(
  config: CoordinatorConfig,
  parts: Parts,
  folder: DataFolder,
  tls: Tls | null,
  started: AsyncDisposableStack,
): Promise<BrokerAccess> {
  const { natsUrl } = config;
  if (natsUrl !== null) return await openForeignBroker({ ...config, natsUrl }, parts, folder);
  const { clock, log } = parts;
  const health = createBrokerHealth(clock);
  const keys = accountKeys(folder.identity.natsKeys);
  let own: OwnBroker | null = null;
  const access = createAccess({
    ...{ store: folder.accessStore, account: keys.fleet, clock, lifetimeMs: LIMITS.credentialLifetimeMs },
    enforce: async (revocations) => await own?.enforce(revocations),
  });
  const { revocations } = access;
  own = await startOwnBroker(config, folder.identity.natsPort, {
    keys,
    revocations,
    tls,
    clock,
    log,
    health,
  });
  started.defer(own.stop);
  log("info", `nats-server ${own.version} listens on ${config.natsHost}:${own.port}`);
  return {
    broker: own.broker,
    own,
    knowsWorkers: true,
    access,
    health,
    assertUsable: () => Promise.resolve(),
  };
}

async function openForeignBroker(
  config: CoordinatorConfig & { readonly natsUrl: string },
  parts: Parts,
  { accessStore, identity }: DataFolder,
): Promise<BrokerAccess> {
  const { clock, log } = parts;
  const { natsUrl, natsCredsPath, natsAccount, natsCaPath, natsDomain } = config;
  const trust = natsCaPath === null ? {} : { tlsCa: await readAuthority(natsCaPath, "nats-ca") };
  const accounts = natsAccount === null ? null : await readForeignAccounts({
    ...{ settings: natsAccount, credsPath: natsCredsPath!, clock },
    connection: { servers: withoutCredentials(natsUrl).url, ...trust },
  });
  const enforce = enforcerOf(accounts, log);
  const access = createAccess({
    ...{ store: accessStore, clock, enforce },
    account: accounts?.signer ?? accountKeys(identity.natsKeys).fleet,
    lifetimeMs: accounts === null || accounts.revoke !== null
      ? LIMITS.credentialLifetimeMs
      : UNREVOKED_LIFETIME_MS,
  });
  const broker: Broker = {
    ...{ url: natsUrl, user: null, password: null, ...trust },
    credsPath: accounts === null ? natsCredsPath : null,
    identities: accounts?.identities ?? null,
    ...(natsDomain === null ? {} : { domain: natsDomain }),
  };
  return {
    ...{ broker, own: null, knowsWorkers: accounts !== null, access, health: createBrokerHealth(clock) },
    async assertUsable() {
      await assertUsable(broker, accounts, parts);
      // Those of a coordinator that could not tell the broker.
      if (accounts !== null && accounts.revoke !== null) await accounts.revoke(access.revocations());
    },
  };
}

function enforcerOf(
  accounts: ForeignAccounts | null,
  log: Parts["log"],
): (revocations: readonly Revocation[]) => Promise<void> {
  if (accounts === null) return () => Promise.resolve();
  const { revoke } = accounts;
  if (revoke === null) {
    const hours = UNREVOKED_LIFETIME_MS / 3_600_000;
    return () => {
      log(
        "warn",
        `the broker hears revoked workers until their tokens end, for ${hours} h at most: --nats-operator-key is not set`,
      );
      return Promise.resolve();
    };
  }
  return (revocations) =>
    revoke(revocations).catch((thrown) =>
      log(
        "warn",
        `${messageOf(thrown)}; the broker hears revoked workers until this coordinator starts again`,
      )
    );
}
