/** The worker's command line and environment, parsed into one value. Only this file and main.ts know them. */
import { join, resolve } from "@std/path";
import { parseArgs } from "node:util";
import { checkServers } from "../shared/bus/nats_servers.ts";
import { LoraFleetError, messageOf, quote, usage } from "../shared/errors.ts";
import type { LeaveRules } from "./fleet/leaving.ts";
import type { Nf4CacheSettings } from "./files/linears/nf4_cache.ts";
import type { OwnPod } from "./fleet/own_pod.ts";
import { type HubSettings, readHubSettings } from "../shared/hub/hub_settings.ts";

export interface WorkerConfig {
  /** `http(s)://…/join/<token>`. */
  readonly joinUrl: string;
  /** The worker's display name. */
  readonly name: string;
  /** Train on the CPU through a software driver. */
  readonly allowCpu: boolean;
  /** With `allowCpu`: even if the machine has a GPU. */
  readonly ignoreGpu: boolean;
  /** Base models and unfinished uploads. */
  readonly cacheFolder: string;
  /** The broker's address for this worker, a leaf node of its region; null: as the join URL says. */
  readonly natsUrl: string | null;
  /** PEM of the authority that signed the coordinator's certificate; null: the system's authorities. */
  readonly tlsCaPath: string | null;
  /** The source of base models from the hub, and its cache on this machine. */
  readonly hub: HubSettings;
  /** Base models in NF4, kept for the next start; null: none. */
  readonly nf4Cache: Nf4CacheSettings | null;
  /** Renewed by each heartbeat; null: no such file. */
  readonly aliveFile: string | null;
  /** Null: what a probe of the card finds. */
  readonly memoryBudgetBytes: number | null;
  /** When it leaves by itself. */
  readonly leaving: LeaveRules;
  /** The pod to remove when it leaves by itself; null: none. */
  readonly pod: OwnPod | null;
}

export const USAGE = `Usage: deno task worker --join <url> [options]

Joins a fleet with this machine's GPU and works on its jobs until stopped. The coordinator prints the full command.

  --join <url>              http://…/join/<token>                             LORAFLEET_JOIN
  --name <name>             display name (the host's name)                    LORAFLEET_NAME
  --allow-cpu               train on the CPU if this machine has no GPU,
                            through Mesa's Vulkan driver                      LORAFLEET_ALLOW_CPU=1
  --ignore-gpu              with --allow-cpu: even if it has one              LORAFLEET_IGNORE_GPU=1
  --tls-ca <path>           trust certificates signed by this authority       LORAFLEET_TLS_CA
  --nats-url <url>          the broker's address, if not the one that the join
                            URL returns: a leaf node of this region           LORAFLEET_NATS_URL
  --cache-folder <path>     base models (~/.cache/lorafleet)                  LORAFLEET_CACHE_FOLDER
  --quantized-cache-gib <n> base models in NF4 that are kept in that folder for
                            the next start: so much at most (40); off: none   LORAFLEET_QUANTIZED_CACHE_GIB
  --memory-budget-mib <n>   use at most so much of the GPU's memory
                            (what a probe of the card finds)                  LORAFLEET_MEMORY_BUDGET_MIB
  --leave-when-idle <min>   leave after so long without a job that runs here  LORAFLEET_LEAVE_WHEN_IDLE
  --leave-at <time>         leave at this time: 2026-01-31T18:00:00Z          LORAFLEET_LEAVE_AT
  --remove-pod              on RunPod: remove this pod when leaving by itself,
                            with RUNPOD_POD_ID and RUNPOD_API_KEY, which
                            RunPod sets                                       LORAFLEET_REMOVE_POD=1
  LORAFLEET_ALIVE_FILE      a file that heartbeats renew, for health checks
  --version
  --help

Also read: HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN_PATH, HF_HUB_OFFLINE, LORAFLEET_LOG_LEVEL (debug, info, warn,
error), LORAFLEET_LOG_FORMAT (text, json). Other users of this machine can see the command lines of all processes: set LORAFLEET_JOIN instead of --join to keep the
URL, which admits workers, secret.

SIGTERM finishes the current step and leaves. Exit codes: 0 left, 1 failed, 2 usage, 130 interrupted.
`;

const OPTIONS = {
  "join": { type: "string" },
  "name": { type: "string" },
  "allow-cpu": { type: "boolean" },
  "ignore-gpu": { type: "boolean" },
  "tls-ca": { type: "string" },
  "nats-url": { type: "string" },
  "cache-folder": { type: "string" },
  "quantized-cache-gib": { type: "string" },
  "memory-budget-mib": { type: "string" },
  "leave-when-idle": { type: "string" },
  "leave-at": { type: "string" },
  "remove-pod": { type: "boolean" },
  "version": { type: "boolean" },
  "help": { type: "boolean" },
} as const;

export const RUNPOD_API = "https://api.runpod.io";

/**
 * Null for --help. An option wins over its variable; an empty variable counts as unset. Throws a `LoraFleetError` with code
 * `usage` whose `param` is the option.
 */
export function parseConfig(
  args: readonly string[],
  environment: (name: string) => string | undefined,
  hostname: () => string,
): WorkerConfig | null {
  const values = readOptions(args);
  if (values.help === true) return null;
  const env = (name: string): string | null => environment(name) || null;
  const isOn = (name: string): boolean => /^(1|true|yes|on)$/i.test(env(name) ?? "");
  const budget = values["memory-budget-mib"] ?? env("LORAFLEET_MEMORY_BUDGET_MIB");
  const name = values.name ?? env("LORAFLEET_NAME") ?? hostname();
  if (name === "" || name.length > 200) {
    throw usage("name", `--name is ${quote(name)}; 1 to 200 characters are needed`);
  }
  const cacheFolder = resolve(
    values["cache-folder"] ?? env("LORAFLEET_CACHE_FOLDER") ?? defaultCacheFolder(env),
  );
  return {
    joinUrl: joinUrlOf(values.join ?? env("LORAFLEET_JOIN")),
    name,
    allowCpu: values["allow-cpu"] ?? isOn("LORAFLEET_ALLOW_CPU"),
    ignoreGpu: values["ignore-gpu"] ?? isOn("LORAFLEET_IGNORE_GPU"),
    natsUrl: natsUrlOf(values["nats-url"] ?? env("LORAFLEET_NATS_URL")),
    tlsCaPath: values["tls-ca"] ?? env("LORAFLEET_TLS_CA"),
    cacheFolder,
    nf4Cache: nf4CacheOf(values["quantized-cache-gib"] ?? env("LORAFLEET_QUANTIZED_CACHE_GIB"), cacheFolder),
    aliveFile: env("LORAFLEET_ALIVE_FILE"),
    hub: readHubSettings(env),
    memoryBudgetBytes: budget === null ? null : mib(budget) * 2 ** 20,
    leaving: {
      idleMs: idleMsOf(values["leave-when-idle"] ?? env("LORAFLEET_LEAVE_WHEN_IDLE")),
      at: timeOf(values["leave-at"] ?? env("LORAFLEET_LEAVE_AT")),
    },
    pod: values["remove-pod"] ?? isOn("LORAFLEET_REMOVE_POD") ? ownPodOf(env) : null,
  };
}

/** Null where RunPod has not said which pod this is: a worker that cannot remove it works all the same. */
function ownPodOf(env: (name: string) => string | null): OwnPod | null {
  const [id, apiKey] = [env("RUNPOD_POD_ID"), env("RUNPOD_API_KEY")];
  if (id === null || apiKey === null) return null;
  return { id, apiKey, apiUrl: env("LORAFLEET_RUNPOD_API") ?? RUNPOD_API };
}

function idleMsOf(text: string | null): number | null {
  if (text === null) return null;
  const minutes = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (minutes > 0 && minutes <= 100_000) return minutes * 60_000;
  const message = `--leave-when-idle is ${quote(text)}; minutes above 0 and up to 100000 are needed`;
  throw usage("leave-when-idle", message);
}

function timeOf(text: string | null): number | null {
  if (text === null) return null;
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : NaN;
  if (Number.isFinite(at)) return at;
  const message = `--leave-at is ${
    quote(text)
  }; a time with its zone is needed, such as 2026-01-31T18:00:00Z`;
  throw usage("leave-at", message);
}

function readOptions(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

function joinUrlOf(text: string | null): string {
  if (text === null) {
    throw usage("join", "--join is missing: the coordinator prints the line with the URL when it starts");
  }
  const url = URL.parse(text);
  const isJoinUrl = url !== null && (url.protocol === "http:" || url.protocol === "https:") &&
    /\/join\/[^/]+$/.test(url.pathname);
  if (isJoinUrl) return text;
  throw usage("join", `--join is ${quote(text)}; a URL of the form http://host:port/join/<token> is needed`);
}

const NATS_PROTOCOLS = ["nats:", "tls:", "ws:", "wss:"];

function natsUrlOf(text: string | null): string | null {
  if (text === null) return null;
  const checked = checkServers(text, NATS_PROTOCOLS);
  if ("servers" in checked) return checked.servers;
  throw usage("nats-url", `--nats-url is ${quote(text)}; ${checked.problem}`);
}

/** Follows the XDG base directories. */
function defaultCacheFolder(env: (name: string) => string | null): string {
  const home = env("HOME") ?? env("USERPROFILE") ?? ".";
  return join(env("XDG_CACHE_HOME") ?? join(home, ".cache"), "lorafleet");
}

/** One base model of 70B, or ten of 7B. */
const DEFAULT_CACHE_GIB = 40;

function nf4CacheOf(text: string | null, cacheFolder: string): Nf4CacheSettings | null {
  if (text === "off" || text === "0") return null;
  const gib = text === null ? DEFAULT_CACHE_GIB : /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (gib > 0 && gib <= 2 ** 20) return { folder: join(cacheFolder, "nf4"), maxBytes: gib * 2 ** 30 };
  const message = `--quantized-cache-gib is ${quote(text)}; GiB above 0 and up to ${
    2 ** 20
  }, or off, are needed`;
  throw usage("quantized-cache-gib", message);
}

function mib(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= 1 && value <= 2 ** 24) return value;
  const message = `--memory-budget-mib is ${quote(text)}; a whole number from 1 to ${2 ** 24} is needed`;
  throw usage("memory-budget-mib", message);
}
