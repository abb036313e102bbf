/** The broker that --nats-url names, and how the coordinator and its workers are known there. */
import { resolve } from "@std/path";
import { checkServers, withoutCredentials } from "../../shared/bus/nats_servers.ts";
import { quote, usage } from "../../shared/errors.ts";

export interface NatsSettings {
  /** An existing broker, its servers with commas between; null: start one. */
  readonly natsUrl: string | null;
  /** A credentials file for that broker: of the account with the streams, if workers have an account of their own. */
  readonly natsCredsPath: string | null;
  /** PEM of the authority that signed that broker's certificates; null: the system's authorities. */
  readonly natsCaPath: string | null;
  /** The domain of JetStream that has the streams; null: that of the broker which natsUrl names. */
  readonly natsDomain: string | null;
  /** For workers; null: by the API's host, or as `natsUrl`. */
  readonly natsPublicUrl: string | null;
  /** Whether workers reach our own broker through the API's port, as web sockets. */
  readonly onePort: boolean;
  /** Null: workers have the user of the broker's URL, or none. */
  readonly natsAccount: NatsAccountSettings | null;
}

/** How the coordinator makes identities for workers at a broker of accounts (docs/nats.md). */
export interface NatsAccountSettings {
  /** File with the seed of the workers' account, or of one of its signing keys. */
  readonly keyPath: string;
  /** The account's public key; null: the key is the account's own. */
  readonly account: string | null;
  /** To revoke at once: the seed of the operator or one of its signing keys, and a user of the system account. */
  readonly revoking: { readonly operatorKeyPath: string; readonly systemCredsPath: string } | null;
}

export const NATS_USAGE = `  --one-port              workers reach its own broker through the API's port,
                          as web sockets (docs/nats.md)                       LORAFLEET_ONE_PORT=1
  --nats-url <url>        an existing broker; of a cluster several with commas
                          between (docs/nats.md)                              NATS_URL
  --nats-creds <path>     the coordinator's credentials there                 NATS_CREDS
  --nats-ca <path>        the authority that signed its certificates, if
                          systems do not trust it by default                  NATS_CA
  --nats-domain <name>    the JetStream domain with the streams, if the URL is
                          that of a leaf node                                 LORAFLEET_NATS_DOMAIN
  --nats-account-key <path>  seed of the workers' account there, or of one of
                          its signing keys: each worker gets an identity of
                          its own that the broker enforces                    LORAFLEET_NATS_ACCOUNT_KEY
  --nats-account <A…>     that account, if the key is a signing key           LORAFLEET_NATS_ACCOUNT
  --nats-operator-key <path>, --nats-system-creds <path>
                          to end the connections of revoked workers at once   LORAFLEET_NATS_OPERATOR_KEY,
                                                                              LORAFLEET_NATS_SYSTEM_CREDS`;

export const NATS_OPTIONS = {
  "nats-url": { type: "string" },
  "nats-creds": { type: "string" },
  "nats-ca": { type: "string" },
  "nats-domain": { type: "string" },
  "nats-account-key": { type: "string" },
  "nats-account": { type: "string" },
  "nats-operator-key": { type: "string" },
  "nats-system-creds": { type: "string" },
  "nats-public-url": { type: "string" },
  "one-port": { type: "boolean" },
} as const;

/** NATS's own: firewalls and people know it. */
export const DEFAULT_NATS_PORT = 4222;

const PROTOCOLS = ["nats:", "tls:", "ws:", "wss:"];

type Values =
  & { readonly [K in Exclude<keyof typeof NATS_OPTIONS, "one-port">]?: string | undefined }
  & { readonly "one-port"?: boolean | undefined };

/** Throws `usage` that names the option. */
export function readNatsSettings(values: Values, env: (name: string) => string | null): NatsSettings {
  const natsUrl = serversOf(values["nats-url"] ?? env("NATS_URL"), "nats-url");
  const natsPublicUrl = serversOf(
    values["nats-public-url"] ?? env("LORAFLEET_NATS_PUBLIC_URL"),
    "nats-public-url",
  );
  const onePort = values["one-port"] ?? isOn(env("LORAFLEET_ONE_PORT"));
  // Of variables that other NATS tools read as well: without a broker they are not meant for us.
  if (natsUrl === null) {
    for (const option of ["nats-creds", "nats-ca", "nats-domain", "nats-account-key"] as const) {
      if (values[option] !== undefined) {
        throw usage(option, `--${option} is for the broker of --nats-url, which is missing`);
      }
    }
    const none = { natsCredsPath: null, natsCaPath: null, natsDomain: null, natsAccount: null };
    return { natsUrl, natsPublicUrl, onePort, ...none };
  }
  if (onePort) {
    const message =
      `--one-port leads workers to the coordinator's own broker, but --nats-url (NATS_URL) names ${
        quote(withoutCredentials(natsUrl).url)
      }: leave out one of them`;
    throw usage("one-port", message);
  }
  const path = (text: string | null | undefined) =>
    text === null || text === undefined ? null : resolve(text);
  const natsCredsPath = path(values["nats-creds"] ?? env("NATS_CREDS"));
  const natsAccount = accountOf(values, env);
  if (natsAccount !== null && natsCredsPath === null) {
    const message =
      "--nats-account-key is given without --nats-creds: the streams need an account of their own, which " +
      "workers cannot reach, and the coordinator credentials there (docs/nats.md)";
    throw usage("nats-creds", message);
  }
  return {
    natsUrl,
    natsPublicUrl,
    onePort,
    natsCredsPath,
    natsCaPath: path(values["nats-ca"] ?? env("NATS_CA")),
    natsDomain: domainOf(values["nats-domain"] ?? env("LORAFLEET_NATS_DOMAIN")),
    natsAccount,
  };
}

/** One word of a subject, as nats-server has it. */
function domainOf(text: string | null): string | null {
  if (text === null || /^[^\s.*>]+$/.test(text)) return text;
  throw usage(
    "nats-domain",
    `--nats-domain is ${
      quote(text)
    }; the name in the server's jetstream { domain: … } is needed, without dots, spaces, * and >`,
  );
}

function isOn(text: string | null): boolean {
  if (text === null || text === "0" || text === "1") return text === "1";
  throw usage("one-port", `LORAFLEET_ONE_PORT is ${quote(text)}; 1 or 0 is needed`);
}

function accountOf(values: Values, env: (name: string) => string | null): NatsAccountSettings | null {
  const keyPath = values["nats-account-key"] ?? env("LORAFLEET_NATS_ACCOUNT_KEY");
  const account = values["nats-account"] ?? env("LORAFLEET_NATS_ACCOUNT");
  const operatorKey = values["nats-operator-key"] ?? env("LORAFLEET_NATS_OPERATOR_KEY");
  const systemCreds = values["nats-system-creds"] ?? env("LORAFLEET_NATS_SYSTEM_CREDS");
  if (keyPath === null) {
    const [given] = Object.entries({
      "nats-account": account,
      "nats-operator-key": operatorKey,
      "nats-system-creds": systemCreds,
    })
      .find(([, value]) => value !== null) ?? [];
    if (given === undefined) return null;
    throw usage("nats-account-key", `--${given} is given without --nats-account-key`);
  }
  if (account !== null && !/^A[A-Z2-7]{55}$/.test(account)) {
    const message = `--nats-account is ${
      quote(account)
    }; the public key of an account is needed: "A" and 55 letters and digits`;
    throw usage("nats-account", message);
  }
  if ((operatorKey === null) !== (systemCreds === null)) {
    const [given, missing] = operatorKey === null
      ? ["nats-system-creds", "nats-operator-key"]
      : ["nats-operator-key", "nats-system-creds"];
    throw usage(missing, `--${given} is given without --${missing}: revoking at once needs both`);
  }
  const revoking = operatorKey === null
    ? null
    : { operatorKeyPath: resolve(operatorKey), systemCredsPath: resolve(systemCreds!) };
  return { keyPath: resolve(keyPath), account, revoking };
}

function serversOf(text: string | null | undefined, option: string): string | null {
  if (text === null || text === undefined) return null;
  const checked = checkServers(text, PROTOCOLS);
  if ("servers" in checked) return checked.servers;
  throw usage(option, `--${option} is ${quote(text)}; ${checked.problem}`);
}
