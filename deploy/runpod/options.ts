/** The command line of `deno task deploy:runpod`. */
import { parseArgs } from "node:util";
import { join, resolve } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { Options, UpOptions } from "./commands.ts";
import { FLEET_PATTERN } from "./names.ts";
import type { Cloud } from "./api/schemas.ts";

export const USAGE = `Usage: deno task deploy:runpod up --gpu <names> [options] | status | logs | down

Rents GPU pods at RunPod, each with one GPU and one worker for your coordinator. Environment: RUNPOD_API_KEY.

up
  --gpu <names>           "RTX 3090", or several with commas between, the favourite first
  --count <n>             pods                                             (1)
  --join <url>            the URL that the coordinator prints              LORAFLEET_JOIN
  --image <name>          the worker's container image                     LORAFLEET_WORKER_IMAGE
  --spot                  interruptible pods: cheaper, may be stopped at any time
  --cloud <which>         secure, community or any                         (secure)
  --max-price <dollars>   of one GPU's hour, never above
  --budget <dollars>      of all pods together, never above
  --for-job <id>          the job that the pods are for; the coordinator's key is LORAFLEET_API_KEY
  --until-done            with --for-job: stay, replace pods that are stopped, and remove all when the job is over
  --coordinator <url>     its API, if the join URL does not say
  --idle-minutes <n>      a pod without work for so long removes itself; 0: it stays   (10)
  --disk <gb>             container disk for image and base model          (40)
  --volume <id>           a network volume for the hub's cache; the pods are in its data center
  --data-center <ids>     where the pods may be, with commas between
  --registry <id>         RunPod's credentials for a private image
  --env <name[=value]>    for the workers; without a value: as it is here; may be given several times
  --yes                   do not ask

status  --json  --coordinator <url>   (the API of the join URL in LORAFLEET_JOIN, or as up had it)
logs    --pod <name or id>  --follow  --tail <lines>   (100)
down    --all  --patience <minutes>   all fleets; how long a RunPod that is away is asked again   (10)

  --fleet <name>          which fleet, for all commands                    (default)
  --state-folder <path>   what is rented, without secrets                  (~/.local/state/lorafleet/runpod)
  --help
`;

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const COMMON = { "fleet": text, "state-folder": text, "help": { type: "boolean", short: "h" } } as const;
const UP = {
  ...COMMON,
  ...{
    "gpu": text,
    "count": text,
    "join": text,
    "image": text,
    "spot": flag,
    "cloud": text,
    "max-price": text,
  },
  ...{
    "budget": text,
    "for-job": text,
    "until-done": flag,
    "coordinator": text,
    "idle-minutes": text,
    "disk": text,
  },
  ...{ "volume": text, "data-center": text, "registry": text, "yes": flag },
  "env": { type: "string", multiple: true },
} as const;
const STATUS = { ...COMMON, "json": flag, "coordinator": text } as const;
const LOGS = { ...COMMON, "pod": text, "follow": flag, "tail": text } as const;
const DOWN = { ...COMMON, "all": flag, "patience": text } as const;

type Env = (name: string) => string | undefined;

/** Null for --help. Throws `usage`. */
export function parseOptions(args: readonly string[], environment: Env): Options | null {
  const [command, ...rest] = args;
  if (command === undefined || command === "--help" || command === "-h") return null;
  const env = (name: string) => environment(name) || undefined;
  if (command === "up") return upOptions(rest, env);
  const known = { status: STATUS, logs: LOGS, down: DOWN }[command];
  if (known === undefined) {
    throw usage(null, `the command is ${quote(command)}; up, status, logs or down is needed`);
  }
  const values = read(() => parseArgs({ args: rest, options: { ...STATUS, ...LOGS, ...DOWN } }).values);
  const foreign = Object.keys(values).find((name) => !(name in known));
  if (foreign !== undefined) throw usage(foreign, `--${foreign} is not an option of ${command}`);
  if (values.help === true) return null;
  const common = commonOptions(values, env);
  if (command === "status") {
    const coordinator = coordinatorOf(values.coordinator, env);
    return { kind: "status", ...common, isJson: values.json === true, coordinator };
  }
  if (command === "logs") {
    const tail = numberOf("tail", values.tail, { isWhole: true, min: 0, max: 5000 }) ?? 100;
    return { kind: "logs", ...common, pod: values.pod ?? null, isFollowing: values.follow === true, tail };
  }
  const patienceMs = (numberOf("patience", values.patience, { min: 0, max: 1440 }) ?? 10) * 60_000;
  if (values.all === true && values.fleet !== undefined) {
    throw usage("all", "--all and --fleet exclude each other");
  }
  return { kind: "down", ...common, fleet: values.all === true ? null : common.fleet, patienceMs };
}

function upOptions(args: readonly string[], env: Env): UpOptions | null {
  const values = read(() => parseArgs({ args: [...args], options: UP }).values);
  if (values.help === true) return null;
  const gpus = listOf(values.gpu);
  if (gpus.length === 0) {
    throw usage("gpu", '--gpu is missing: a name such as "RTX 3090", or several with commas');
  }
  const image = values.image ?? env("LORAFLEET_WORKER_IMAGE");
  if (image === undefined) throw usage("image", "--image is missing: the worker's container image");
  const jobId = values["for-job"] ?? null;
  const untilDone = values["until-done"] === true;
  if (untilDone && jobId === null) throw usage("until-done", "--until-done needs --for-job");
  const joinUrl = joinUrlOf(values.join ?? env("LORAFLEET_JOIN"), env);
  const coordinatorUrl = values.coordinator === undefined ? apiOf(joinUrl) : originOf(values.coordinator);
  if (jobId !== null && coordinatorUrl === null) {
    throw usage(
      "coordinator",
      "--coordinator is missing: the join URL, a secret of RunPod, does not say whom to ask",
    );
  }
  const idle = numberOf("idle-minutes", values["idle-minutes"], { min: 0, max: 100_000 }) ?? 10;
  return {
    kind: "up",
    ...commonOptions(values, env),
    wanted: {
      gpus,
      clouds: cloudsOf(values.cloud),
      isSpot: values.spot === true,
      maxPrice: numberOf("max-price", values["max-price"], { max: 1000 }),
    },
    count: numberOf("count", values.count, { isWhole: true, min: 1, max: 500 }) ?? 1,
    ...{ joinUrl, coordinatorUrl, image, jobId, untilDone },
    budget: numberOf("budget", values.budget, { max: 1e6 }),
    idleMinutes: idle === 0 ? null : idle,
    diskGb: numberOf("disk", values.disk, { isWhole: true, min: 1, max: 10_000 }) ?? 40,
    volumeId: values.volume ?? null,
    dataCenters: listOf(values["data-center"]),
    registry: values.registry ?? null,
    env: environmentOf(values.env ?? [], env),
    isConfirmed: values.yes === true,
  };
}

function commonOptions(values: { readonly fleet?: string; readonly "state-folder"?: string }, env: Env) {
  const fleet = values.fleet ?? "default";
  if (!FLEET_PATTERN.test(fleet)) {
    throw usage(
      "fleet",
      `--fleet is ${quote(fleet)}; up to 40 of a-z, 0-9 and - are needed, a letter or digit first`,
    );
  }
  const home = env("HOME") ?? env("USERPROFILE") ?? ".";
  const state = env("XDG_STATE_HOME") ?? join(home, ".local", "state");
  return { fleet, stateFolder: resolve(values["state-folder"] ?? join(state, "lorafleet", "runpod")) };
}

/** A URL, or a reference to a secret of RunPod's: https://docs.runpod.io/pods/templates/secrets. */
function joinUrlOf(given: string | undefined, env: Env): string {
  if (given === undefined) {
    throw usage("join", "--join is missing: the coordinator prints the line with the URL when it starts");
  }
  if (isSecret(given)) return given;
  const url = URL.parse(given);
  if (url === null || !/^https?:$/.test(url.protocol) || !/\/join\/[^/]+$/.test(url.pathname)) {
    throw usage("join", "--join is not a URL of the form https://host:port/join/<token>");
  }
  const api = URL.parse(env("LORAFLEET_RUNPOD_API") ?? "");
  if (!isLocal(url) || (api !== null && isLocal(api))) return given;
  const message =
    `--join has the host ${quote(url.hostname)}, which pods cannot reach: start the coordinator with a ` +
    "public address (--public-url), or put a tunnel before it";
  throw usage("join", message);
}

function isSecret(text: string): boolean {
  return /^\{\{ *RUNPOD_SECRET_\w+ *\}\}$/.test(text);
}

function isLocal({ hostname }: URL): boolean {
  return hostname === "localhost" || /^(127|10|192\.168|172\.(1[6-9]|2\d|3[01])|169\.254)\./.test(hostname) ||
    ["[::1]", "0.0.0.0"].includes(hostname);
}

/** The API whose join URL it is. */
function apiOf(joinUrl: string): string | null {
  return isSecret(joinUrl) ? null : joinUrl.replace(/\/join\/[^/]+$/, "");
}

/** Whom `status` asks; null: not said here. */
function coordinatorOf(given: string | undefined, env: Env): string | null {
  if (given !== undefined) return originOf(given);
  const joinUrl = env("LORAFLEET_JOIN");
  return joinUrl !== undefined && URL.canParse(joinUrl) ? apiOf(joinUrl) : null;
}

function originOf(given: string): string {
  const url = URL.parse(given);
  if (url !== null && /^https?:$/.test(url.protocol)) return url.origin + url.pathname.replace(/\/$/, "");
  throw usage("coordinator", `--coordinator is ${quote(given)}; a URL such as https://host:8787 is needed`);
}

function cloudsOf(given = "secure"): readonly Cloud[] {
  const clouds =
    ({ secure: ["SECURE"], community: ["COMMUNITY"], any: ["SECURE", "COMMUNITY"] } as const)[given];
  if (clouds !== undefined) return clouds;
  throw usage("cloud", `--cloud is ${quote(given)}; secure, community or any is needed`);
}

function environmentOf(given: readonly string[], env: Env): Record<string, string> {
  return Object.fromEntries(given.map((item) => {
    const [, name, value] = /^([A-Za-z_]\w*)(?:=([\s\S]*))?$/.exec(item) ?? [];
    // The value may be a secret: it is not repeated.
    if (name === undefined) {
      throw usage("env", "--env needs NAME=VALUE, or the NAME of a variable that is set here");
    }
    const found = value ?? env(name);
    if (found === undefined) {
      throw usage("env", `--env ${name} has no value, and there is no such variable here`);
    }
    return [name, found];
  }));
}

function listOf(given: string | undefined): string[] {
  return (given ?? "").split(",").map((item) => item.trim()).filter((item) => item !== "");
}

function numberOf(
  option: string,
  given: string | undefined,
  { isWhole = false, min, max }: { readonly isWhole?: boolean; readonly min?: number; readonly max: number },
): number | null {
  if (given === undefined) return null;
  const value = given.trim() === "" ? NaN : Number(given.replace(/^\$/, ""));
  const isEnough = min === undefined ? value > 0 : value >= min;
  if (isEnough && value <= max && (!isWhole || Number.isInteger(value))) return value;
  const kind = `${isWhole ? "whole number" : "number"} ${min === undefined ? "above 0" : `from ${min}`}`;
  throw usage(option, `--${option} is ${quote(given)}; a ${kind} to ${max} is needed`);
}

function read<T>(parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

function usage(option: string | null, message: string): LoraFleetError {
  return new LoraFleetError("usage", message, option === null ? {} : { param: option });
}
