/** Experiment trackers as their own clients are set up: by the environment. */
import { join, resolve } from "@std/path";
import { quote, usage } from "../../shared/errors.ts";

/** Settings, or what to set. */
export type Configured<T> = { readonly settings: T } | { readonly missing: string };

export interface MlflowSettings {
  /** Without a trailing slash. */
  readonly url: string;
  readonly token: string | null;
  readonly username: string | null;
  readonly password: string | null;
  readonly experimentName: string;
  /** Takes precedence over the name. */
  readonly experimentId: string | null;
}

export interface WandbSettings {
  /** Without a trailing slash. */
  readonly url: string;
  /** Null if nothing is sent. */
  readonly apiKey: string | null;
  readonly project: string;
  /** Null: the default of the key's user. */
  readonly entity: string | null;
  readonly tags: readonly string[];
  readonly group: string | null;
  /** Of the user, for the server's logs; empty if unknown. */
  readonly username: string;
  readonly email: string;
  /** WANDB_MODE=offline: points wait until the coordinator is started without it. */
  readonly isOffline: boolean;
}

export interface TrackerSettings {
  /** The folder of event files and of metrics.jsonl, as TensorBoard's --logdir. */
  readonly runsFolder: string;
  readonly mlflow: Configured<MlflowSettings>;
  readonly wandb: Configured<WandbSettings>;
  /** Of one worker for an hour, in any currency; null: no cost is reported. */
  readonly workerHourPrice: number | null;
}

/** transformers' own default. */
const WANDB_PROJECT = "huggingface";
const WANDB_URL = "https://api.wandb.ai";

type Environment = (name: string) => string | null;

/**
 * Without settings of a tracker a coordinator runs, and a job that asks for it gets the reason. Throws a `LoraFleetError` with
 * code `usage` for a price that is none.
 */
export function readTrackerSettings(env: Environment, dataFolder: string): TrackerSettings {
  return {
    runsFolder: resolve(env("TENSORBOARD_LOGGING_DIR") ?? join(dataFolder, "runs")),
    mlflow: readMlflow(env),
    wandb: readWandb(env),
    workerHourPrice: readPrice(env("LORAFLEET_WORKER_HOUR_PRICE")),
  };
}

/** Values that no log, event or error may show. */
export function trackerSecrets({ mlflow, wandb }: TrackerSettings): (string | null)[] {
  return [
    ...("settings" in mlflow ? [mlflow.settings.token, mlflow.settings.password] : []),
    ...("settings" in wandb ? [wandb.settings.apiKey] : []),
  ];
}

function readPrice(text: string | null): number | null {
  if (text === null) return null;
  const price = Number(text);
  if (Number.isFinite(price) && price >= 0) return price;
  const message = `LORAFLEET_WORKER_HOUR_PRICE is ${quote(text)}; a number of at least 0 is needed`;
  throw usage("LORAFLEET_WORKER_HOUR_PRICE", message);
}

function readMlflow(env: Environment): Configured<MlflowSettings> {
  const given = env("MLFLOW_TRACKING_URI");
  const example = "the address of an MLflow server, such as http://127.0.0.1:5000";
  if (given === null) return { missing: `set MLFLOW_TRACKING_URI for the coordinator: ${example}` };
  const url = URL.parse(given);
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    return {
      missing:
        `MLFLOW_TRACKING_URI of the coordinator begins with neither http:// nor https://; ${example}, is needed`,
    };
  }
  // A user and a password in the address count, as with MLflow's client.
  const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  url.username = url.password = "";
  return {
    settings: {
      url: url.href.replace(/\/+$/, ""),
      token: env("MLFLOW_TRACKING_TOKEN"),
      username: env("MLFLOW_TRACKING_USERNAME") ?? (user || null),
      password: env("MLFLOW_TRACKING_PASSWORD") ?? (password || null),
      experimentName: env("MLFLOW_EXPERIMENT_NAME") ?? "Default",
      experimentId: env("MLFLOW_EXPERIMENT_ID"),
    },
  };
}

function readWandb(env: Environment): Configured<WandbSettings> {
  const mode = env("WANDB_MODE")?.toLowerCase() ?? "online";
  const isDisabled = mode === "disabled" || /^(1|true|yes|on)$/i.test(env("WANDB_DISABLED") ?? "");
  if (isDisabled) {
    return { missing: "the coordinator's WANDB_MODE or WANDB_DISABLED turns it off; start it without them" };
  }
  // "dryrun" is the client's old name for it.
  const isOffline = mode === "offline" || mode === "dryrun";
  const apiKey = env("WANDB_API_KEY");
  if (apiKey === null && !isOffline) {
    return {
      missing: "set WANDB_API_KEY for the coordinator, or WANDB_MODE=offline to send the points later",
    };
  }
  const given = env("WANDB_BASE_URL") ?? WANDB_URL;
  const url = URL.parse(given);
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    return { missing: "WANDB_BASE_URL of the coordinator begins with neither http:// nor https://" };
  }
  return {
    settings: {
      url: url.href.replace(/\/+$/, ""),
      apiKey,
      project: env("WANDB_PROJECT") ?? WANDB_PROJECT,
      entity: env("WANDB_ENTITY"),
      tags: (env("WANDB_TAGS") ?? "").split(",").map((tag) => tag.trim()).filter((tag) => tag !== ""),
      group: env("WANDB_RUN_GROUP"),
      username: env("WANDB_USERNAME") ?? "",
      email: env("WANDB_USER_EMAIL") ?? "",
      isOffline,
    },
  };
}
