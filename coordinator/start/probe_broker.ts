/** Tries a broker that --nats-url names: rights, streams, clock. Says what is wrong with it before any job depends on it. */
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { probeBroker } from "../../shared/bus/nats_probe.ts";
import { withoutCredentials } from "../../shared/bus/nats_servers.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { Log } from "../../shared/log.ts";
import { inboxPrefix } from "../../shared/protocol/subjects.ts";
import { issueCredential } from "../access/worker_credentials.ts";
import type { Broker } from "../broker/broker.ts";
import type { ForeignAccounts } from "../broker/foreign_accounts.ts";
import { connectionOf, explainStore } from "./broker_bus.ts";

/** For a cluster that is just starting. */
const TIMEOUT_MS = 15_000;
/** Longer than a clock may be wrong. */
const PROBE_LIFETIME_MS = 86_400_000;
/** Beyond it something is wrong with a clock, not with the network. */
const MAX_CLOCK_DIFFERENCE_MS = 30_000;

interface ProbeParts {
  readonly clock: Clock;
  readonly log: Log;
}

/** `accounts` is null for a broker whose workers share a user. Throws what to do about it. */
export async function assertUsable(
  broker: Broker,
  accounts: ForeignAccounts | null,
  { clock, log }: ProbeParts,
  timeoutMs: number = TIMEOUT_MS,
): Promise<void> {
  const { domain = null } = broker;
  const { url } = withoutCredentials(broker.url);
  const connection = await connectionOf(broker);
  const found = await probeBroker({
    ...{ store: { ...connection, ...storeOf(broker) }, timeoutMs, now: () => clock.now() },
    domain,
    fleet: accounts === null ? null : {
      master: { ...connection, identity: accounts.identities.fleet },
      worker: { ...connection, ...workerOf(accounts, clock) },
    },
  }).catch((thrown) => {
    const explained = accounts === null
      ? explainStore(thrown, `the broker ${url}`)
      : explainRefusal(thrown, url, accounts);
    throw domain === null ? explained : explainDomain(explained, { domain, url, accounts });
  });
  if (accounts !== null && found.hasWorkersJetStream) {
    const message =
      `the workers' account ${accounts.fleetAccount} at the broker ${url} has JetStream: a worker could delete ` +
      "the streams of others in it. Take its JetStream limits away; only the account of --nats-creds needs them (docs/nats.md)";
    throw new LoraFleetError("usage", message, { param: "nats-account-key" });
  }
  if (!found.canPull) {
    const message =
      `the workers' account ${
        accounts!.fleetAccount
      } at the broker ${url} does not get work from the account of ` +
      "--nats-creds: that one has to export, and this one to import, the services $JS.API.CONSUMER.MSG.NEXT.*.workers " +
      "(with a stream of answers) and $JS.ACK.*.workers.> (docs/nats.md)";
    throw new LoraFleetError("usage", message, { param: "nats-account-key" });
  }
  const warning = clockWarning(found.clockAheadMs);
  if (warning !== null) log("warn", warning);
}

/** Null if both clocks agree as far as it matters. */
export function clockWarning(brokerAheadMs: number): string | null {
  if (Math.abs(brokerAheadMs) < MAX_CLOCK_DIFFERENCE_MS) return null;
  const seconds = Math.round(Math.abs(brokerAheadMs) / 1000);
  const difference = seconds < 600 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return `this machine's clock is ${difference} ${
    brokerAheadMs > 0 ? "behind" : "ahead of"
  } the broker's: workers' tokens end ` +
    `${difference} ${brokerAheadMs > 0 ? "earlier" : "later"} than they should; set both by NTP`;
}

/** A domain that nobody has answers no one, as one that is away does. */
function explainDomain(
  thrown: unknown,
  { domain, url, accounts }: {
    readonly domain: string;
    readonly url: string;
    readonly accounts: ForeignAccounts | null;
  },
): unknown {
  if (!(thrown instanceof LoraFleetError) || thrown.code !== "timeout") return thrown;
  const account = accounts === null ? "that we use" : "of --nats-creds, besides that of the workers";
  const message =
    `no JetStream of the domain ${
      quote(domain)
    } (--nats-domain) answers at the broker ${url}: the servers with the streams ` +
    `need jetstream { domain: … } with this name, and the leaf node a connection to them for the account ${account} ` +
    `(docs/nats.md): ${messageOf(thrown)}`;
  return new LoraFleetError("timeout", message, { param: "nats-domain", cause: thrown });
}

function storeOf({ identities }: Broker) {
  return identities === null ? {} : { identity: identities.streams };
}

function workerOf({ signer }: ForeignAccounts, clock: Clock) {
  const keys = createNatsKeys("user");
  const { token, worker } = issueCredential(signer, keys.publicKey, clock.now(), PROBE_LIFETIME_MS);
  return {
    name: `${worker} probe`,
    identity: { keys, token: () => token },
    inboxPrefix: inboxPrefix(worker),
  };
}

function explainRefusal(thrown: unknown, url: string, { fleetAccount }: ForeignAccounts): unknown {
  if (!(thrown instanceof LoraFleetError) || thrown.code !== "unauthorized") {
    return explainStore(thrown, `the broker ${url}`);
  }
  const isStore = thrown.message.includes(quote("lorafleet coordinator"));
  const message = isStore
    ? `the broker ${url} refuses the user of --nats-creds: its account is not known there, or the user has expired or was revoked`
    : `the broker ${url} refuses a worker's token: --nats-account-key is no key of the account ${fleetAccount}, this account is ` +
      "not known there, or this machine's clock is wrong. With a signing key, --nats-account names its account";
  return new LoraFleetError("usage", `${message}: ${messageOf(thrown)}`, {
    param: isStore ? "nats-creds" : "nats-account-key",
    cause: thrown,
  });
}
