/** The worker's command line and environment, parsed into one value. Only this file and main.ts know them. */
import { join, resolve } from "@std/path";
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { type HubSettings, readHubSettings } from "../shared/model/hub_settings.ts";

export interface WorkerConfig {
  /** `http(s)://…/join/<token>`. */
  readonly joinUrl: string;
  /** For a person. */
  readonly name: string;
  /** Train on the CPU through a software driver. */
  readonly allowCpu: boolean;
  /** Even where the machine has a GPU whose driver is missing. */
  readonly ignoreGpu: boolean;
  /** Base models and unfinished uploads. */
  readonly cacheFolder: string;
  /** PEM of an authority that has signed the coordinator's certificate; null: those that the system knows. */
  readonly tlsCaPath: string | null;
  /** Where base models that came from the hub are downloaded from: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE. */
  readonly hub: HubSettings;
  /** Null: what the device reports. */
  readonly memoryBudgetBytes: number | null;
}

export const USAGE = `Usage: deno task worker --join <url> [options]

Joins a fleet with this machine's GPU, and takes part in its jobs until it is stopped. The coordinator prints the line.

  --join <url>              http://…/join/<token>                             LORAFLEET_JOIN
  --name <name>             what people call this worker (the host's name)    LORAFLEET_NAME
  --allow-cpu               train on the CPU where this machine has no GPU,
                            through Mesa's Vulkan driver                      LORAFLEET_ALLOW_CPU=1
  --ignore-gpu              with --allow-cpu: although it has one             LORAFLEET_IGNORE_GPU=1
  --tls-ca <path>           trust certificates that this authority has signed LORAFLEET_TLS_CA
  --cache-folder <path>     base models (~/.cache/lorafleet)                  LORAFLEET_CACHE_FOLDER
  --memory-budget-mib <n>   refuse a job that needs more of the GPU's memory
                            (all that the device has)                         LORAFLEET_MEMORY_BUDGET_MIB
  --help

Also read: HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, LORAFLEET_LOG_LEVEL (debug, info, warn, error). Other users of this machine see the
command lines of all processes: LORAFLEET_JOIN keeps the URL, which lets workers in, to yourself.

SIGTERM finishes the step in hand and leaves. Exit codes: 0 left, 1 failed, 2 usage, 130 interrupted.
`;

const OPTIONS = {
  "join": { type: "string" },
  "name": { type: "string" },
  "allow-cpu": { type: "boolean" },
  "ignore-gpu": { type: "boolean" },
  "tls-ca": { type: "string" },
  "cache-folder": { type: "string" },
  "memory-budget-mib": { type: "string" },
  "help": { type: "boolean" },
} as const;

type Environment = (name: string) => string | undefined;

/**
 * Null where help is asked for. An option wins over its variable; an empty variable counts as unset. Throws a
 * `LoraFleetError` with code `usage` whose `param` is the option.
 */
export function parseConfig(
  args: readonly string[],
  environment: Environment,
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
  return {
    joinUrl: joinUrlOf(values.join ?? env("LORAFLEET_JOIN")),
    name,
    allowCpu: values["allow-cpu"] ?? isOn("LORAFLEET_ALLOW_CPU"),
    ignoreGpu: values["ignore-gpu"] ?? isOn("LORAFLEET_IGNORE_GPU"),
    tlsCaPath: values["tls-ca"] ?? env("LORAFLEET_TLS_CA"),
    cacheFolder: resolve(
      values["cache-folder"] ?? env("LORAFLEET_CACHE_FOLDER") ?? defaultCacheFolder(env),
    ),
    hub: readHubSettings(env),
    memoryBudgetBytes: budget === null ? null : mib(budget) * 2 ** 20,
  };
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

/** As the XDG base directories say. */
function defaultCacheFolder(env: (name: string) => string | null): string {
  const home = env("HOME") ?? env("USERPROFILE") ?? ".";
  return join(env("XDG_CACHE_HOME") ?? join(home, ".cache"), "lorafleet");
}

function mib(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= 1 && value <= 2 ** 24) return value;
  throw usage(
    "memory-budget-mib",
    `--memory-budget-mib is ${quote(text)}; a whole number from 1 to ${2 ** 24} is needed`,
  );
}

function usage(option: string, message: string): LoraFleetError {
  return new LoraFleetError("usage", message, { param: option });
}
