/**
 * The accounts of our own broker, as tokens that nats-server reads from its configuration (decision 0010).
 *
 * - `fleet`: the coordinator and all workers, core messages only.
 * - `streams`: the coordinator alone, with JetStream. Workers reach what they need of it, pulling and acknowledging
 *   micro-batches, as services. In a shared account, a pull with the reply subject `$JS.API.STREAM.DELETE.…` would delete the
 *   commit log: the broker checks the subject that a client publishes to, but not its reply subject.
 * - `system`: updates the other two at the broker.
 */
import { type NatsIdentity, type NatsKeys, natsKeysOfSeed } from "./nats_keys.ts";
import { ACK_SUBJECT, PULL_SUBJECT } from "../protocol/subjects.ts";
import { readClaims, signClaims } from "./nats_jwt.ts";

/** The seeds of all signing keys; possession makes the coordinator. */
export interface AccountSeeds {
  readonly operator: string;
  readonly fleet: string;
  readonly streams: string;
  readonly system: string;
}

export type AccountKeys = { readonly [K in keyof AccountSeeds]: NatsKeys };

/** Voids tokens of this public key that were issued at this time or before. */
export interface Revocation {
  readonly publicKey: string;
  /** In seconds since 1970. */
  readonly revokedAt: number;
}

/** As the broker's configuration lists them. */
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
  const { operator, fleet, streams, system } = seeds;
  const keysOf = natsKeysOfSeed;
  return {
    operator: keysOf(operator),
    fleet: keysOf(fleet),
    streams: keysOf(streams),
    system: keysOf(system),
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
    // A pull may be answered late, and an item may cross with the message that the pull has expired.
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

/** The workers' account, the only one that changes. */
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

/**
 * The account's token with these revocations besides those of others, and everything else as it is. Throws a `LoraFleetError` with
 * code `corrupt` if it is no token.
 */
export function withRevocations(
  operator: NatsKeys,
  accountToken: string,
  revocations: readonly Revocation[],
  now: number,
): string {
  const { subject, name, expiresAt, nats } = readClaims(accountToken);
  const before = nats["revocations"] as Record<string, number> | undefined;
  const added = Object.fromEntries(revocations.map(({ publicKey, revokedAt }) => [publicKey, revokedAt]));
  const claims = { ...nats, revocations: { ...before, ...added } };
  return signClaims(operator, { subject, name, expiresAt, issuedAt: now, nats: claims });
}

/** What signs the users of an account. */
export interface AccountSigner {
  readonly keys: NatsKeys;
  /** The account's public key, if `keys` are only one of its signing keys. */
  readonly account: string | null;
}

export function signerOf(account: NatsKeys | AccountSigner): AccountSigner {
  return "keys" in account ? account : { keys: account, account: null };
}

/** The claim that names the account of a token that a signing key has signed. */
export function issuerClaim({ account }: AccountSigner): { readonly issuer_account?: string } {
  return account === null ? {} : { issuer_account: account };
}

const UNLIMITED_USER = { type: "user", version: 2, subs: -1, data: -1, payload: -1 };

/** A user with every right in an account. */
export function masterOf(account: NatsKeys | AccountSigner, user: NatsKeys, now: number): NatsIdentity {
  const signer = signerOf(account);
  const token = signClaims(signer.keys, {
    ...{ name: "coordinator", subject: user.publicKey, issuedAt: now, expiresAt: null },
    nats: { ...UNLIMITED_USER, ...issuerClaim(signer) },
  });
  return { keys: user, token: () => token };
}

/**
 * What a leaf node carries of each account between its region and the cluster. Its workers reach the streams as those of the
 * cluster do, through `fleet`.
 */
const LEAF_RIGHTS = {
  fleet: {},
  // Accounts that change, as when a worker is revoked.
  system: {
    pub: { allow: ["_R_.>", "_INBOX.>", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", "$SYS.REQ.CLAIMS.PACK"] },
    sub: {
      allow: [
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
        "$SYS.ACCOUNT.*.CLAIMS.UPDATE",
        "_INBOX.>",
      ],
    },
  },
  // Both of the leaf node beside the coordinator, which has every right in these accounts.
  streams: {},
  revoking: {},
} as const;

/** A leaf node's user in one of the accounts. */
export function leafUserOf(
  kind: keyof typeof LEAF_RIGHTS,
  account: NatsKeys,
  user: NatsKeys,
  now: number,
): NatsIdentity {
  const token = signClaims(account, {
    ...{ name: "leaf", subject: user.publicKey, issuedAt: now, expiresAt: null },
    nats: { ...UNLIMITED_USER, ...LEAF_RIGHTS[kind] },
  });
  return { keys: user, token: () => token };
}
