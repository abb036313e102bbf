/** What docs/configuration.md is made from: the programs with their usage texts, and the variables that have no option. */
import { join } from "@std/path";
import { USAGE as COORDINATOR } from "../../coordinator/config/config.ts";
import { BACKUP_USAGE, RESTORE_USAGE } from "../../coordinator/upkeep/backup/options.ts";
import { USAGE as DEMO } from "../../deploy/demo/options.ts";
import { USAGE as DOCTOR } from "../../deploy/doctor/options.ts";
import { USAGE as KEYS } from "../../deploy/keys/options.ts";
import { USAGE as NATS } from "../../deploy/nats/options.ts";
import { USAGE as RUNPOD } from "../../deploy/runpod/options.ts";
import { USAGE as SERVICE } from "../../deploy/service/options.ts";
import { PLAN_USAGE, TRAIN_USAGE } from "../../deploy/train/options.ts";
import { USAGE as WORKER } from "../../worker/config.ts";
import { USAGE as EVALUATE } from "../../worker/evaluate/options.ts";
import { root } from "./named_tests.ts";

export interface Program {
  /** As in `deno task <task>`. */
  readonly task: string;
  readonly usage: string;
  /** Files that declare its options. */
  readonly sources: readonly string[];
  /** The page about it, below docs. */
  readonly page: string;
}

const backup = "coordinator/upkeep/backup/options.ts";
const train = ["deploy/train/options.ts", "deploy/train/tracker_flags.ts"];
const coordinator = ["coordinator/config/config.ts", "coordinator/config/nats_settings.ts"];
const setUp = "deploy/setup.ts";

export const GROUPS: Readonly<Record<string, readonly Program[]>> = {
  "The fleet": [
    { task: "coordinator", usage: COORDINATOR, sources: coordinator, page: "operations.md" },
    { task: "worker", usage: WORKER, sources: ["worker/config.ts"], page: "security.md" },
  ],
  "A training": [
    { task: "train", usage: TRAIN_USAGE, sources: train, page: "train.md" },
    { task: "plan", usage: PLAN_USAGE, sources: train, page: "plan.md" },
    { task: "evaluate", usage: EVALUATE, sources: ["worker/evaluate/options.ts"], page: "evaluate.md" },
    { task: "demo", usage: DEMO, sources: ["deploy/demo/options.ts"], page: "../README.md" },
  ],
  "Operation": [
    { task: "setup", usage: await usageIn(setUp), sources: [setUp], page: "../README.md" },
    { task: "doctor", usage: DOCTOR, sources: ["deploy/doctor/options.ts"], page: "doctor.md" },
    { task: "keys", usage: KEYS, sources: ["deploy/keys/options.ts"], page: "operations.md" },
    { task: "backup", usage: BACKUP_USAGE, sources: [backup], page: "operations.md" },
    { task: "restore", usage: RESTORE_USAGE, sources: [backup], page: "operations.md" },
    { task: "service", usage: SERVICE, sources: ["deploy/service/options.ts"], page: "service.md" },
    { task: "nats", usage: NATS, sources: ["deploy/nats/options.ts"], page: "nats.md" },
    { task: "deploy:runpod", usage: RUNPOD, sources: ["deploy/runpod/options.ts"], page: "runpod.md" },
  ],
};

/** The usage text of a program that runs when it is imported. */
async function usageIn(file: string): Promise<string> {
  const source = await Deno.readTextFile(join(root, file));
  const [, usage] = /^const USAGE = `([^`$\\]+)`;$/m.exec(source) ?? [];
  if (usage === undefined) throw new Error(`${file} has no USAGE`);
  return usage;
}

const wandb = "Weights & Biases' own ([trackers](trackers.md))";
const mlflow = "MLflow's own ([trackers](trackers.md))";
const folder = "where the system keeps such files; the defaults of folders are below it";

/** Variables that no option sets: what each is for. */
export const SENTENCES: Readonly<Record<string, string>> = {
  LORAFLEET_API_KEY: "the coordinator: keys that clients must send, with commas between; a client: its key",
  LORAFLEET_JOIN_TOKEN: "token of the printed join URL, 16 to 128 letters, digits, - and _",
  LORAFLEET_NATS_SERVER: "path of the nats-server that the coordinator starts (the one in PATH)",
  LORAFLEET_LOG_LEVEL: "debug, info, warn or error (info)",
  LORAFLEET_LOG_FORMAT: "text or json (text)",
  LORAFLEET_WORKER_HOUR_PRICE: "trackers show the cost of a run by it ([trackers](trackers.md))",
  LORAFLEET_ALIVE_FILE: "a file that heartbeats renew, for health checks; the worker's image sets it",
  LORAFLEET_RUNPOD_API: "RunPod's API at a different address, for tests",
  RUNPOD_API_KEY: "key of the RunPod account; in a pod RunPod sets one that may remove this pod",
  RUNPOD_POD_ID: "RunPod sets it in a pod: what `--remove-pod` removes, and a coordinator's name outside",
  RUNPOD_PUBLIC_IP:
    "RunPod sets it in a pod: with `RUNPOD_TCP_PORT_<port>` the address of a coordinator there ([runpod](runpod.md))",
  HF_TOKEN: "token of the hub; needed for gated models and for pushes ([hub](hub.md))",
  HF_TOKEN_PATH: "file with the token, if HF_TOKEN is not set (token in HF_HOME)",
  HF_ENDPOINT: "a different hub (https://huggingface.co)",
  HF_HOME: "folder of the hub's cache and token (~/.cache/huggingface), shared with Python's tools",
  HF_HUB_CACHE: "the hub's cache (hub in HF_HOME)",
  HF_HUB_OFFLINE: "1: use only what the cache holds",
  TENSORBOARD_LOGGING_DIR: "folder of event files and metrics.jsonl (runs in the data folder)",
  MLFLOW_TRACKING_URI: `the server; ${mlflow}`,
  MLFLOW_TRACKING_TOKEN: mlflow,
  MLFLOW_TRACKING_USERNAME: mlflow,
  MLFLOW_TRACKING_PASSWORD: mlflow,
  MLFLOW_EXPERIMENT_NAME: `Default without it; ${mlflow}`,
  MLFLOW_EXPERIMENT_ID: mlflow,
  WANDB_API_KEY: wandb,
  WANDB_BASE_URL: `https://api.wandb.ai without it; ${wandb}`,
  WANDB_PROJECT: `huggingface without it; ${wandb}`,
  WANDB_ENTITY: wandb,
  WANDB_TAGS: wandb,
  WANDB_RUN_GROUP: wandb,
  WANDB_MODE: `offline: points wait; disabled: none; ${wandb}`,
  WANDB_DISABLED: wandb,
  WANDB_USERNAME: wandb,
  WANDB_USER_EMAIL: wandb,
  PATH: "where nats-server is looked for",
  HOME: folder,
  USERPROFILE: `HOME of Windows: ${folder}`,
  XDG_CACHE_HOME: "base of the caches of base models and of the hub (~/.cache)",
  XDG_STATE_HOME: "base of `--state-folder` (~/.local/state)",
  XDG_RUNTIME_DIR: "Mesa's Vulkan driver needs it; a temporary folder takes its place where it is not set",
  DENO_WEBGPU_BACKEND: "Deno's own; on Linux set-up tries a GPU with vulkan unless it is set",
  NVIDIA_DRIVER_CAPABILITIES:
    "NVIDIA's container toolkit reads it; a worker without a GPU says so if it lacks `graphics`",
  NVIDIA_VISIBLE_DEVICES: "the same toolkit's; shows a worker without a GPU that it is in a container",
  NO_COLOR: "no colours and no progress bar",
};
