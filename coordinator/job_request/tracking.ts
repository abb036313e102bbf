/**
 * Which experiment trackers a job reports to: transformers' `report_to`, `run_name`, `logging_dir` and OpenAI's
 * `integrations`. None of it changes what is trained, so it belongs to the job's record and not to its specification.
 */
import { z } from "zod";
import type { Draft } from "./draft.ts";
import { invalidField, isAbsent, isObject, show } from "./errors.ts";
import { TRACKING_RULES } from "./fields/tracked.ts";
import { isLibraryDefault } from "./library_fields.ts";

/** The trackers by the names that `report_to` has for them; `jsonl` is metrics.jsonl, a file of one JSON object a line. */
export const TRACKER_NAMES = ["tensorboard", "mlflow", "wandb", "jsonl"] as const;
export type TrackerName = (typeof TRACKER_NAMES)[number];

/** OpenAI's integration with Weights & Biases. */
const wandbRunSchema = z.strictObject({
  project: z.string().nullable(),
  name: z.string().nullable(),
  entity: z.string().nullable(),
  tags: z.array(z.string()),
});

export const trackingSchema = z.strictObject({
  reportTo: z.array(z.enum(TRACKER_NAMES)),
  runName: z.string().nullable(),
  /** Relative to the coordinator's folder of runs. */
  loggingDir: z.string().nullable(),
  loggingStrategy: z.enum(["no", "steps", "epoch"]),
  loggingFirstStep: z.boolean(),
  wandb: wandbRunSchema.nullable(),
});
export type Tracking = z.output<typeof trackingSchema>;

/** `all` stands for every tracker that the coordinator has settings for. */
export type TrackingRequest = Omit<Tracking, "reportTo"> & {
  readonly reportTo: "all" | readonly TrackerName[];
};

const MAX_NAME_LENGTH = 128;
const MAX_TAGS = 64;

/** Null if no tracker is asked for. Throws `invalid_request`. */
export function parseTracking(draft: Draft, integrations: unknown): TrackingRequest | null {
  const field = (name: string): unknown => draft.tracking.get(name);
  const wandb = wandbIntegration(integrations);
  const asked = trackersOf(field("report_to"));
  const reportTo = wandb === null || asked === "all" ? asked : [...new Set([...asked, "wandb" as const])];
  if (reportTo !== "all" && reportTo.length === 0) {
    const unread = Object.keys(TRACKING_RULES).filter((name) =>
      name !== "report_to" && draft.tracking.has(name) && !isLibraryDefault("training", name, field(name))
    );
    draft.withoutEffect.push(...unread.map((name) => `training.${name}`));
    return null;
  }
  const strategy = field("logging_strategy") ?? "steps";
  if (strategy !== "no" && strategy !== "steps" && strategy !== "epoch") {
    throw refused("logging_strategy", strategy, 'one of "no", "steps", "epoch" is needed');
  }
  const first = field("logging_first_step") ?? false;
  if (typeof first !== "boolean") throw refused("logging_first_step", first, "true or false is needed");
  return {
    reportTo,
    runName: nameOf("training.run_name", field("run_name")),
    loggingDir: folderOf(field("logging_dir")),
    loggingStrategy: strategy,
    loggingFirstStep: first,
    wandb,
  };
}

/** As transformers reads `report_to`: a name, a list of names, "all" or "none". */
function trackersOf(value: unknown): "all" | readonly TrackerName[] {
  const names = typeof value === "string" ? [value] : value ?? [];
  if (!Array.isArray(names)) {
    throw refused("report_to", value, "a tracker's name or a list of them is needed");
  }
  if (names.length === 1 && names[0] === "all") return "all";
  if (names.length === 1 && names[0] === "none") return [];
  const known = names.map((name) => {
    const tracker = TRACKER_NAMES.find((tracker) => tracker === name);
    if (tracker !== undefined) return tracker;
    const those = TRACKER_NAMES.map(show).join(", ");
    throw refused(
      "report_to",
      value,
      `${show(name)} is not among the trackers here: ${those}, "all", "none"`,
    );
  });
  return [...new Set(known)];
}

function refused(name: string, value: unknown, need: string) {
  return invalidField(`training.${name}`, `training.${name} is ${show(value)}; ${need}`);
}

/** A text of one line that trackers accept as a name; null if absent or empty. */
function nameOf(param: string, value: unknown): string | null {
  if (isAbsent(value) || value === "") return null;
  if (typeof value === "string" && !/[\p{Cc}\p{Cs}]/u.test(value) && [...value].length <= MAX_NAME_LENGTH) {
    return value;
  }
  const need = `a text of up to ${MAX_NAME_LENGTH} characters without control characters is needed`;
  throw invalidField(param, `${param} is ${show(value)}; ${need}`);
}

/** A relative folder without `.` and `..`: a job must not write elsewhere on the coordinator's machine. */
function folderOf(value: unknown): string | null {
  const text = nameOf("training.logging_dir", value);
  if (text === null) return null;
  const parts = text.split(/[/\\]/).filter((part) => part !== "." && part !== "");
  const isInside = !/^([/\\~]|[A-Za-z]:)/.test(text) && parts.every((part) => part !== "..");
  if (isInside) return parts.length === 0 ? null : parts.join("/");
  const need =
    "event files lie on the coordinator, below its own folder of runs; a relative folder is needed";
  throw refused("logging_dir", value, need);
}

/** OpenAI's `integrations: [{type: "wandb", wandb: {project, name, entity, tags}}]`. */
function wandbIntegration(integrations: unknown): Tracking["wandb"] {
  if (isAbsent(integrations)) return null;
  if (!Array.isArray(integrations)) {
    throw invalidField("integrations", `integrations is ${show(integrations)}; a list is needed`);
  }
  if (integrations.length === 0) return null;
  if (integrations.length > 1) {
    const message = `integrations has ${integrations.length} entries; one of type "wandb" is supported`;
    throw invalidField("integrations", message);
  }
  const [integration] = integrations;
  const type = isObject(integration) ? integration["type"] : integration;
  if (!isObject(integration) || type !== "wandb") {
    const message = `integrations[0].type is ${show(type)}; only "wandb" is supported`;
    throw invalidField("integrations[0].type", message);
  }
  const at = "integrations[0].wandb";
  const wandb = integration["wandb"];
  if (!isObject(wandb)) {
    const message = `${at} is ${show(wandb ?? null)}; an object with a project is needed`;
    throw invalidField(at, message);
  }
  const unknown = Object.keys(wandb).find((name) => !["project", "name", "entity", "tags"].includes(name));
  if (unknown !== undefined) {
    const message = `unknown field ${show(`${at}.${unknown}`)}; known here: project, name, entity, tags`;
    throw invalidField(`${at}.${unknown}`, message);
  }
  const project = nameOf(`${at}.project`, wandb["project"]);
  if (project === null) throw invalidField(`${at}.project`, `${at}.project is missing; a text is needed`);
  return {
    project,
    name: nameOf(`${at}.name`, wandb["name"]),
    entity: nameOf(`${at}.entity`, wandb["entity"]),
    tags: tagsOf(`${at}.tags`, wandb["tags"]),
  };
}

function tagsOf(param: string, value: unknown): string[] {
  if (isAbsent(value)) return [];
  if (!Array.isArray(value) || value.length > MAX_TAGS) {
    throw invalidField(param, `${param} is ${show(value)}; a list of at most ${MAX_TAGS} texts is needed`);
  }
  return value.map((tag) => nameOf(param, tag)).filter((tag) => tag !== null);
}
