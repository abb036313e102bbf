/**
 * The accounts of the own broker, as tokens that nats-server reads from its configuration (decision 0010).
 *
 * - `fleet`: the coordinator and all workers, core messages only.
 * - `streams`: the coordinator alone, with JetStream. Of it workers reach what they need, pulling and acknowledging
 *   micro-batches, as services. In one account with them a pull whose answer is to go to `$JS.API.STREAM.DELETE.…` would
 *   delete the log of commits: the broker checks what a client publishes, but not where it wants the answer.
 * - `system`: tells the broker of changes of the other two.
 */
import { type NatsIdentity, type NatsKeys, natsKeysOfSeed } from "../../shared/bus/nats_keys.ts";
import { ACK_SUBJECT, PULL_SUBJECT } from "../../shared/protocol/subjects.ts";
import { signClaims } from "./nats_jwt.ts";

/** The seeds of all keys that sign: whoever has them is the coordinator. */
export interface AccountSeeds {
  readonly operator: string;
  readonly fleet: string;
  readonly streams: string;
  readonly system: string;
}

export type AccountKeys = { readonly [K in keyof AccountSeeds]: NatsKeys };

/** Tokens of this public key that were issued at this moment or before are worth nothing. */
export interface Revocation {
  readonly publicKey: string;
  /** In seconds since 1970. */
  readonly revokedAt: number;
}

/** What stands in the broker's configuration. */
export interface BrokerAccounts {
  readonly operatorToken: string;
  readonly systemAccount: string;
  /** Tokens of the accounts by their public keys. */
  readonly tokens: ReadonlyMap<string, string>;
}

const UNLIMITED = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: -1,
};
const JETSTREAM = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

export function accountKeys(seeds: AccountSeeds): AccountKeys {
  return {
    operator: natsKeysOfSeed(seeds.operator),
    fleet: natsKeysOfSeed(seeds.fleet),
    streams: natsKeysOfSeed(seeds.streams),
    system: natsKeysOfSeed(seeds.system),
  };
}

/** All accounts as they are now. `now` is in seconds since 1970. */
export function brokerAccounts(
  keys: AccountKeys,
  revocations: readonly Revocation[],
  now: number,
): BrokerAccounts {
  const { operator, fleet, streams, system } = keys;
  const account = (name: string, { publicKey }: NatsKeys, claims: Record<string, unknown>) =>
    signClaims(operator, {
      ...{ name, subject: publicKey, issuedAt: now, expiresAt: null },
      nats: { type: "account", version: 2, limits: UNLIMITED, default_permissions: {}, ...claims },
    });
  const services = [
    // The broker's answer to a pull may come long after it, and an item and a word that the pull is over may cross.
    { name: "pull", subject: PULL_SUBJECT, response_type: "Stream" },
    { name: "acknowledge", subject: ACK_SUBJECT, response_type: "Singleton" },
  ];
  return {
    operatorToken: signClaims(operator, {
      ...{ name: "lorafleet", subject: operator.publicKey, issuedAt: now, expiresAt: null },
      nats: { type: "operator", version: 2, system_account: system.publicKey },
    }),
    systemAccount: system.publicKey,
    tokens: new Map([
      [fleet.publicKey, fleetToken(keys, revocations, now)],
      [
        streams.publicKey,
        account("streams", streams, {
          limits: { ...UNLIMITED, ...JETSTREAM },
          exports: services.map((service) => ({ ...service, type: "service" })),
        }),
      ],
      [system.publicKey, account("system", system, {})],
    ]),
  };
}

/** The account of the workers: the one that changes. */
export function fleetToken(
  { operator, fleet, streams }: AccountKeys,
  revocations: readonly Revocation[],
  now: number,
): string {
  const imports = [["pull", PULL_SUBJECT], ["acknowledge", ACK_SUBJECT]] as const;
  return signClaims(operator, {
    ...{ name: "fleet", subject: fleet.publicKey, issuedAt: now, expiresAt: null },
    nats: {
      type: "account",
      version: 2,
      limits: UNLIMITED,
      default_permissions: {},
      imports: imports.map(([name, subject]) => ({
        ...{ name, subject, type: "service" },
        account: streams.publicKey,
      })),
      revocations: Object.fromEntries(revocations.map(({ publicKey, revokedAt }) => [publicKey, revokedAt])),
    },
  });
}

/** Somebody with every right in an account. */
export function masterOf(account: NatsKeys, user: NatsKeys, now: number): NatsIdentity {
  const token = signClaims(account, {
    ...{ name: "coordinator", subject: user.publicKey, issuedAt: now, expiresAt: null },
    nats: { type: "user", version: 2, subs: -1, data: -1, payload: -1 },
  });
  return { keys: user, token: () => token };
}
