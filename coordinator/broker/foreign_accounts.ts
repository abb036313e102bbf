/**
 * How the coordinator is known at a broker of accounts that it does not run, and signs its workers' identities there: the key of
 * the workers' account, credentials in the account of the streams and, to revoke at once, the operator's key.
 */
import { lookUpNatsAccount, updateNatsAccount } from "../../shared/bus/nats_account_update.ts";
import type { NatsConnectionOptions } from "../../shared/bus/nats_connection.ts";
import { type NatsCredentials, readCredentials } from "../../shared/bus/nats_credentials.ts";
import {
  type AccountSigner,
  masterOf,
  type Revocation,
  signerOf,
  withRevocations,
} from "../../shared/bus/nats_accounts.ts";
import {
  createNatsKeys,
  type NatsIdentity,
  type NatsKeys,
  natsKeysOfSeed,
} from "../../shared/bus/nats_keys.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote, usage } from "../../shared/errors.ts";
import type { NatsAccountSettings } from "../config/nats_settings.ts";

/** What `connectFleet` and access need of it. */
export interface ForeignAccounts {
  readonly signer: AccountSigner;
  /** The public key of the workers' account. */
  readonly fleetAccount: string;
  readonly identities: { readonly fleet: NatsIdentity; readonly streams: NatsIdentity };
  /** Null: the broker learns of revoked workers when their tokens end. */
  readonly revoke: ((revocations: readonly Revocation[]) => Promise<void>) | null;
}

interface ForeignAccountsOptions {
  readonly settings: NatsAccountSettings;
  /** Of the user in the account of the streams. */
  readonly credsPath: string;
  /** How the broker is reached. */
  readonly connection: Pick<NatsConnectionOptions, "servers" | "tlsCa">;
  readonly clock: Pick<Clock, "now">;
}

/** Reads and checks the files. Throws `usage` that names the option. */
export async function readForeignAccounts(
  { settings, credsPath, connection, clock }: ForeignAccountsOptions,
): Promise<ForeignAccounts> {
  const keys = await readKey(settings.keyPath, "nats-account-key", "A", "SA");
  const signer = {
    ...signerOf(keys),
    account: settings.account === keys.publicKey ? null : settings.account,
  };
  const fleetAccount = signer.account ?? keys.publicKey;
  const streams = await readCredsFile(credsPath, "nats-creds", clock);
  if (streams.account === fleetAccount) {
    const message =
      `--nats-creds ${
        quote(credsPath)
      } is a user of the account of --nats-account-key: workers could delete ` +
      "the streams by the broker's own replies. Give the streams an account of their own (docs/nats.md)";
    throw usage("nats-creds", message);
  }
  const { revoking } = settings;
  return {
    signer,
    fleetAccount,
    identities: {
      fleet: masterOf(signer, createNatsKeys("user"), Math.floor(clock.now() / 1000)),
      streams: streams.identity,
    },
    revoke: revoking === null ? null : await revoker(revoking, fleetAccount, connection, clock),
  };
}

async function revoker(
  { operatorKeyPath, systemCredsPath }: NonNullable<NatsAccountSettings["revoking"]>,
  fleetAccount: string,
  connection: Pick<NatsConnectionOptions, "servers" | "tlsCa">,
  clock: Pick<Clock, "now">,
): Promise<(revocations: readonly Revocation[]) => Promise<void>> {
  const operator = await readKey(operatorKeyPath, "nats-operator-key", "O", "SO");
  const { identity } = await readCredsFile(systemCredsPath, "nats-system-creds", clock);
  const system = { ...connection, name: "lorafleet accounts", identity };
  return async (revocations) => {
    const token = await lookUpNatsAccount(system, fleetAccount);
    const now = Math.floor(clock.now() / 1000);
    await updateNatsAccount(system, withRevocations(operator, token, revocations, now));
  };
}

async function readKey(path: string, option: string, kind: "A" | "O", prefix: string): Promise<NatsKeys> {
  const text = (await read(path, option)).trim();
  const what = kind === "A"
    ? "an account or one of its signing keys"
    : "an operator or one of its signing keys";
  const needed = `the seed of ${what} is needed: a line of 58 letters and digits that begins with ${prefix}`;
  // Its content is a secret, or was meant to be one.
  if (!/^S[A-Z2-7]{57}$/.test(text)) {
    throw usage(option, `--${option} ${quote(path)} holds no seed; ${needed}`);
  }
  if (!text.startsWith(prefix)) {
    const owner = { SO: "an operator", SA: "an account", SU: "a user" }[text.slice(0, 2)] ?? "something else";
    throw usage(option, `--${option} ${quote(path)} holds the seed of ${owner}; ${needed}`);
  }
  try {
    return natsKeysOfSeed(text);
  } catch (thrown) {
    throw usage(option, `--${option} ${quote(path)}: ${messageOf(thrown)}; ${needed}`);
  }
}

async function readCredsFile(
  path: string,
  option: string,
  clock: Pick<Clock, "now">,
): Promise<NatsCredentials> {
  let credentials: NatsCredentials;
  try {
    credentials = readCredentials(await read(path, option));
  } catch (thrown) {
    if (thrown instanceof LoraFleetError && thrown.code === "usage") throw thrown;
    throw usage(option, `--${option} ${quote(path)} holds ${messageOf(thrown)}`);
  }
  const { expiresAt } = credentials;
  if (expiresAt === null || expiresAt > clock.now()) return credentials;
  const message =
    `--${option} ${quote(path)} has expired on ${new Date(expiresAt).toISOString()}: issue new credentials ` +
    "(nsc generate creds), or set this machine's clock if it is wrong";
  throw usage(option, message);
}

async function read(path: string, option: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (thrown) {
    throw usage(option, `--${option} ${quote(path)} cannot be read: ${messageOf(thrown)}`);
  }
}
