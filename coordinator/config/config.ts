/** The coordinator's command line and environment, parsed into one value. Only this file and main.ts know them. */
import { join, resolve } from "@std/path";
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote, usage } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { type HubSettings, readHubSettings } from "../../shared/hub/hub_settings.ts";
import { readTrackerSettings, type TrackerSettings } from "./tracker_settings.ts";
import { NATS_OPTIONS, NATS_USAGE, type NatsSettings, readNatsSettings } from "./nats_settings.ts";
import { withPodAddresses } from "./pod_address.ts";
import type { TlsFiles } from "./tls.ts";
import { isLoopback } from "./loopback.ts";

export interface CoordinatorConfig extends NatsSettings {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly dataFolder: string;
  /** For the API and our own broker; null: neither is encrypted. */
  readonly tls: TlsFiles | null;
  /** The API's URL for others behind a proxy or a port mapping, without a trailing slash; null: as it listens. */
  readonly publicUrl: string | null;
  readonly apiKeys: readonly string[];
  readonly modelRoots: readonly string[];
  readonly maxUploadBytes: number;
  /** Jobs pause when the data folder's disk has less; null: 1 % of it, up to 1 GiB; 0: they do not. */
  readonly minFreeBytes: number | null;
  /** What is removed of finished jobs; null: nothing for that reason. */
  readonly retention: { readonly maxAgeDays: number | null; readonly maxBytes: number | null };
  /** That tokenise a job's data; null: by the data and the machine. */
  readonly preparationThreads: number | null;
  /** How long fresh workers wait for one that holds a job's newest state; then the job goes back to its last stored one. */
  readonly stateGraceMs: number;
  /** `LORAFLEET_JOIN_TOKEN`: the token of the printed join URL; null: a random one, kept in the data folder. */
  readonly joinToken: string | null;
  /** How long join tokens admit workers; null: without limit. */
  readonly joinTokenTtlMs: number | null;
  /** Whether to wait while another coordinator leads; otherwise the process ends with an error. */
  readonly standby: boolean;
  readonly natsHost: string;
  readonly natsPort: number;
  /** `LORAFLEET_NATS_SERVER`. */
  readonly natsServerBinary: string | null;
  readonly searchPath: string;
  readonly hub: HubSettings;
  readonly trackers: TrackerSettings;
  /** For the log. */
  readonly warnings: readonly string[];
}

export const USAGE = `Usage: deno task coordinator [options]

Starts the HTTP API and, unless --nats-url names a broker, its own nats-server. Prints the command that joins a worker.

  --port <n>              port of the API (8787; 0 for any free one)          LORAFLEET_PORT
  --host <address>        address of the API (127.0.0.1)                      LORAFLEET_HOST
  LORAFLEET_API_KEY       key that clients must send (several with commas
                          between); required unless --host is loopback        or --api-key <key>, which other users of
                                                                              this machine can read
  --tls-cert <path>       certificate (PEM) for the API and its own broker    LORAFLEET_TLS_CERT
  --tls-key <path>        its key                                             LORAFLEET_TLS_KEY
  --tls-ca <path>         the authority that signed it, if systems do not
                          trust it by default                                 LORAFLEET_TLS_CA
  --public-url <url>      URL by which others reach the API, if not --host    LORAFLEET_PUBLIC_URL
  --data-folder <path>    jobs, uploads, adapters, streams (./data)           LORAFLEET_DATA_FOLDER
  --model-roots <path>    folder of base models, besides <data-folder>/models;
                          may be given several times (the current folder)     LORAFLEET_MODEL_ROOTS (commas between)
  --max-upload-mib <n>    largest upload (1024)                               LORAFLEET_MAX_UPLOAD_MIB
  --preparation-threads <n>
                          threads that tokenise a job's data; 1: none of their own
                          (by its size, processors, free memory; 6 at most)   LORAFLEET_PREPARATION_THREADS
  --state-grace-s <n>     where all workers with a job's newest state are gone: seconds
                          until it goes back to its last stored one (30); 0: none
                          of them will come back                              LORAFLEET_STATE_GRACE_S
  --min-free-mib <n>      jobs pause while the data folder's disk has less free; 0:
                          they do not (1 % of the disk, up to 1024)           LORAFLEET_MIN_FREE_MIB
  --retention-days <n>    results and uploads of finished jobs are removed after
                          so many days (never)                                LORAFLEET_RETENTION_DAYS
  --retention-mib <n>     and the oldest, if all of them are larger (any size) LORAFLEET_RETENTION_MIB
  --join-token-ttl <time> how long a join URL admits workers: 30m, 12h, 7d
                          or never (never)                                    LORAFLEET_JOIN_TOKEN_TTL
  LORAFLEET_JOIN_TOKEN    token of the printed join URL (a random one)
  --no-standby            if another coordinator leads, end with an error
                          instead of waiting for it to end
${NATS_USAGE}
  --nats-host <address>   address of its own broker (as --host; with
                          --one-port 127.0.0.1)                               LORAFLEET_NATS_HOST
  --nats-port <n>         its port (the previous one, else 4222, else a free
                          one)                                                LORAFLEET_NATS_PORT
  --nats-public-url <url> URL by which workers reach the broker, if not the
                          API's host                                          LORAFLEET_NATS_PUBLIC_URL
  --version
  --help

Also read: LORAFLEET_NATS_SERVER (path of the binary), LORAFLEET_LOG_LEVEL (debug, info, warn, error),
LORAFLEET_LOG_FORMAT (text, json), HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN_PATH, HF_HUB_OFFLINE; and for experiment trackers (docs/trackers.md) TENSORBOARD_LOGGING_DIR, MLFLOW_…, WANDB_…,
LORAFLEET_WORKER_HOUR_PRICE.
`;

const OPTIONS = {
  "port": { type: "string" },
  "host": { type: "string" },
  "api-key": { type: "string", multiple: true },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
  "tls-ca": { type: "string" },
  "public-url": { type: "string" },
  "data-folder": { type: "string" },
  "model-roots": { type: "string", multiple: true },
  "max-upload-mib": { type: "string" },
  "preparation-threads": { type: "string" },
  "state-grace-s": { type: "string" },
  "min-free-mib": { type: "string" },
  "retention-days": { type: "string" },
  "retention-mib": { type: "string" },
  "join-token-ttl": { type: "string" },
  "no-standby": { type: "boolean" },
  ...NATS_OPTIONS,
  "nats-host": { type: "string" },
  "nats-port": { type: "string" },
  "version": { type: "boolean" },
  "help": { type: "boolean" },
} as const;

type Environment = (name: string) => string | undefined;

/**
 * Null if --help is given. An option overrides its variable; an empty variable counts as unset. Throws a `LoraFleetError` with
 * code `usage` whose `param` is the option.
 */
export function parseConfig(args: readonly string[], environment: Environment): CoordinatorConfig | null {
  const values = readOptions(args);
  if (values.help === true) return null;
  const env = (name: string): string | null => environment(name) || null;
  const list = (given: readonly string[] | undefined, name: string): readonly string[] =>
    (given ?? env(name)?.split(",") ?? []).map((text) => text.trim()).filter((text) => text !== "");

  const host = values.host ?? env("LORAFLEET_HOST") ?? "127.0.0.1";
  const dataFolder = resolve(values["data-folder"] ?? env("LORAFLEET_DATA_FOLDER") ?? "data");
  const givenRoots = list(values["model-roots"], "LORAFLEET_MODEL_ROOTS");
  const roots = givenRoots.length > 0 ? givenRoots : ["."];
  const apiKeys = list(values["api-key"], "LORAFLEET_API_KEY");
  assertApiKeys(apiKeys, host);
  const joinTokenTtl = values["join-token-ttl"] ?? env("LORAFLEET_JOIN_TOKEN_TTL") ?? "never";
  const maxUploadMib = values["max-upload-mib"] ?? env("LORAFLEET_MAX_UPLOAD_MIB") ?? "1024";
  const minFreeMib = values["min-free-mib"] ?? env("LORAFLEET_MIN_FREE_MIB");
  const threads = values["preparation-threads"] ?? env("LORAFLEET_PREPARATION_THREADS");
  const stateGraceS = values["state-grace-s"] ?? env("LORAFLEET_STATE_GRACE_S") ??
    String(LIMITS.stateLossGraceMs / 1000);
  const natsSettings = readNatsSettings(values, env);
  const config = {
    host,
    port: integer(values.port ?? env("LORAFLEET_PORT") ?? "8787", "port", 0, 65535),
    dataFolder,
    tls: tlsOf(
      values["tls-cert"] ?? env("LORAFLEET_TLS_CERT"),
      values["tls-key"] ?? env("LORAFLEET_TLS_KEY"),
      values["tls-ca"] ?? env("LORAFLEET_TLS_CA"),
    ),
    publicUrl: urlOf(values["public-url"] ?? env("LORAFLEET_PUBLIC_URL"), "public-url", ["http:", "https:"]),
    apiKeys,
    modelRoots: [...new Set([...roots.map((root) => resolve(root)), join(dataFolder, "models")])],
    maxUploadBytes: integer(maxUploadMib, "max-upload-mib", 1, 2 ** 20) * 2 ** 20,
    preparationThreads: threads === null ? null : integer(threads, "preparation-threads", 1, 64),
    stateGraceMs: integer(stateGraceS, "state-grace-s", 0, 86_400) * 1000,
    joinToken: joinTokenOf(env("LORAFLEET_JOIN_TOKEN")),
    minFreeBytes: minFreeMib === null ? null : integer(minFreeMib, "min-free-mib", 0, 2 ** 24) * 2 ** 20,
    retention: retentionOf(
      values["retention-days"] ?? env("LORAFLEET_RETENTION_DAYS"),
      values["retention-mib"] ?? env("LORAFLEET_RETENTION_MIB"),
    ),
    joinTokenTtlMs: duration(joinTokenTtl, "join-token-ttl"),
    standby: values["no-standby"] !== true,
    ...natsSettings,
    natsHost: values["nats-host"] ?? env("LORAFLEET_NATS_HOST") ??
      (host === "localhost" || natsSettings.onePort ? "127.0.0.1" : host),
    natsPort: integer(values["nats-port"] ?? env("LORAFLEET_NATS_PORT") ?? "0", "nats-port", 0, 65535),
    natsServerBinary: env("LORAFLEET_NATS_SERVER"),
    searchPath: env("PATH") ?? "",
    hub: readHubSettings(env),
    trackers: readTrackerSettings(env, dataFolder),
    warnings: values["api-key"] === undefined ? [] : [
      "--api-key is on the command line, which every user of this machine can read; set LORAFLEET_API_KEY instead",
    ],
  };
  return withPodAddresses(config, env);
}

function retentionOf(days: string | null, mib: string | null): CoordinatorConfig["retention"] {
  return {
    maxAgeDays: days === null ? null : integer(days, "retention-days", 1, 36_500),
    maxBytes: mib === null ? null : integer(mib, "retention-mib", 1, 2 ** 30) * 2 ** 20,
  };
}

function assertApiKeys(apiKeys: readonly string[], host: string): void {
  if (apiKeys.length === 0 && !isLoopback(host)) {
    const message = `--host ${quote(host)} can be reached from other machines and needs an API key: set ` +
      "LORAFLEET_API_KEY; without one only 127.0.0.1, ::1 and localhost are allowed";
    throw usage("host", message);
  }
  if (apiKeys.some((key) => key.length < 8)) {
    throw usage("api-key", "an --api-key has fewer than 8 characters");
  }
}

/** A token that others set, too, so that their workers know the join URL before the coordinator starts. */
function joinTokenOf(token: string | null): string | null {
  if (token === null || /^[\w-]{16,128}$/.test(token)) return token;
  const message =
    "LORAFLEET_JOIN_TOKEN has 16 to 128 letters, digits, - and _; openssl rand -hex 16 makes one";
  throw usage("join-token", message);
}

function readOptions(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

function integer(text: string, option: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw usage(option, `--${option} is ${quote(text)}; a whole number from ${min} to ${max} is needed`);
}

function tlsOf(cert: string | null, key: string | null, ca: string | null): TlsFiles | null {
  if (cert === null && key === null) return null;
  if (cert === null || key === null) {
    const [given, missing] = cert === null ? ["tls-key", "tls-cert"] : ["tls-cert", "tls-key"];
    throw usage(missing, `--${given} is given without --${missing}: a certificate needs its key`);
  }
  return { certPath: resolve(cert), keyPath: resolve(key), caPath: ca === null ? null : resolve(ca) };
}

const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** In milliseconds; null for "never". */
function duration(text: string, option: string): number | null {
  if (text === "never") return null;
  const [, count = "", unit = ""] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const milliseconds = Number(count) * (UNITS_MS[unit] ?? 0);
  if (milliseconds > 0) return milliseconds;
  const message = `--${option} is ${quote(text)}; a number of minutes, hours or days is needed: 30m, 12h, ` +
    `7d, or "never"`;
  throw usage(option, message);
}

function urlOf(text: string | null | undefined, option: string, protocols: readonly string[]): string | null {
  if (text === null || text === undefined) return null;
  const url = URL.parse(text);
  if (url !== null && protocols.includes(url.protocol) && url.hostname !== "") {
    return text.replace(/\/+$/, "");
  }
  const beginnings = protocols.map((protocol) => `${protocol}//`).join(" or ");
  throw usage(option, `--${option} is ${quote(text)}; a URL that begins with ${beginnings} is needed`);
}
