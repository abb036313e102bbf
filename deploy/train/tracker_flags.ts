/** Flags of `deno task train` about experiment trackers: transformers' `report_to`, and what OpenAI's `integrations` say of a run. */
import { quote, usage } from "../../shared/errors.ts";

/** Null: as the configuration says. */
export interface TrackerFlags {
  /** Names of trackers, which the coordinator checks. */
  readonly reportTo: readonly string[] | null;
  readonly runName: string | null;
  readonly loggingDir: string | null;
  /** Of Weights & Biases, as are the next two. */
  readonly project: string | null;
  readonly entity: string | null;
  readonly tags: readonly string[] | null;
}

export const NO_TRACKER_FLAGS: TrackerFlags = {
  ...{ reportTo: null, runName: null, loggingDir: null },
  ...{ project: null, entity: null, tags: null },
};

const text = { type: "string" } as const;
export const TRACKER_OPTIONS = {
  ...{ "report-to": text, "run-name": text, "logging-dir": text },
  ...{ "project": text, "entity": text, "tags": text },
} as const;

type Fields = Record<string, unknown>;

/** Throws `usage` for a flag that has no value. */
export function trackerFlags(
  values: { readonly [N in keyof typeof TRACKER_OPTIONS]?: string },
): TrackerFlags {
  const one = (name: keyof typeof TRACKER_OPTIONS): string | null => {
    const given = values[name];
    if (given === undefined) return null;
    if (given.trim() !== "") return given.trim();
    throw usage(name, `--${name} is ${quote(given)}; a text is needed`);
  };
  const list = (name: keyof typeof TRACKER_OPTIONS): string[] | null => {
    const names = one(name)?.split(",").map((name) => name.trim()).filter((name) => name !== "");
    if (names === undefined || names.length > 0) return names ?? null;
    throw usage(name, `--${name} is ${quote(values[name])}; names with commas between are needed`);
  };
  return {
    reportTo: list("report-to"),
    runName: one("run-name"),
    loggingDir: one("logging-dir"),
    project: one("project"),
    entity: one("entity"),
    tags: list("tags"),
  };
}

/** The job's fields with the flags', which win field by field. Throws `usage` for flags that need another one. */
export function withTrackers(body: Fields, flags: TrackerFlags): Fields {
  const { reportTo, runName, loggingDir } = flags;
  const training: Fields = {
    ...reportTo === null ? {} : { report_to: reportTo },
    ...runName === null ? {} : { run_name: runName },
    ...loggingDir === null ? {} : { logging_dir: loggingDir },
  };
  const merged = Object.keys(training).length === 0
    ? body
    : { ...body, training: { ...body["training"] as Fields, ...training } };
  const asked = (merged["training"] as Fields | undefined)?.["report_to"];
  const wandb = wandbOf(merged, flags);
  if (asked === undefined && wandb === null) {
    const idle = runName !== null ? "run-name" : loggingDir !== null ? "logging-dir" : null;
    if (idle === null) return merged;
    throw usage(idle, `--${idle} names a run at a tracker, but none is asked for; add --report-to`);
  }
  return wandb === null ? merged : { ...merged, integrations: [{ type: "wandb", wandb }] };
}

/** Null if no flag is about it: then the configuration's own stays as it is. */
function wandbOf(body: Fields, { reportTo, project, entity, tags }: TrackerFlags): Fields | null {
  const given: Fields = {
    ...project === null ? {} : { project },
    ...entity === null ? {} : { entity },
    ...tags === null ? {} : { tags },
  };
  const [first] = Object.keys(given);
  if (first === undefined) return null;
  if (reportTo !== null && !reportTo.includes("wandb") && !reportTo.includes("all")) {
    const message =
      `--${first} is about Weights & Biases, but --report-to is ${quote(reportTo.join(","))}; ` +
      "add wandb to it (MLflow's experiment is MLFLOW_EXPERIMENT_NAME)";
    throw usage(first, message);
  }
  const configured = body["integrations"];
  const earlier = Array.isArray(configured) ? (configured[0] as Fields | undefined)?.["wandb"] as Fields : {};
  const wandb = { ...earlier, ...given };
  if (wandb["project"] !== undefined) return wandb;
  throw usage(first, `--${first} needs --project, the project at Weights & Biases`);
}
