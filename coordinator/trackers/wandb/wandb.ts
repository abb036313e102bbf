/** Weights & Biases, with the requests that its own client sends and the names that transformers' callback logs. */
import { z } from "zod";
import type { WandbSettings } from "../../config/tracker_settings.ts";
import type { Batch, RunFacts, TrackedRun, Tracker } from "../run/tracker.ts";
import { historyOf } from "./history.ts";
import { pythonJson } from "./numbers.ts";
import { configOf, metadataOf } from "./run_config.ts";
import { type RunPlace, WandbApi } from "./wandb_api.ts";

const stateSchema = z.object({
  place: z.object({ entity: z.string(), project: z.string(), name: z.string() }),
  rows: z.int(),
  summary: z.record(z.string(), z.unknown()),
});

/** As a process would have ended: 255 is the client's for an interrupted one. */
const EXIT_CODES = { succeeded: 0, failed: 1, cancelled: 255 } as const;

export function wandb(settings: WandbSettings): Tracker {
  const api = new WandbApi(settings);
  return {
    title: `W&B at ${settings.url}`,
    held: settings.isOffline
      ? "the coordinator's WANDB_MODE is offline; start it without to send them"
      : null,
    check: async (_tracking, signal) => settings.isOffline ? undefined : await api.checkKey(signal),
    open: (facts) => openRun(api, settings, facts),
  };
}

function openRun(api: WandbApi, settings: WandbSettings, facts: RunFacts): TrackedRun {
  return {
    placeOf(state) {
      const { entity, project, name } = stateSchema.parse(state).place;
      return `${appUrl(settings.url)}/${[entity, project, "runs", name].map(encodeURIComponent).join("/")}`;
    },
    async send(batch, before, signal) {
      const state = before === null
        ? { place: await startRun(api, settings, facts, signal), rows: 0, summary: {} }
        : stateSchema.parse(before);
      const { content, next } = historyOf(batch, state, facts.startedAt);
      await streamBatch(api, state, { content, summary: pythonJson(next.summary) }, batch, signal);
      return { place: state.place, ...next };
    },
    beat: (state, signal) => api.stream(stateSchema.parse(state).place, {}, signal),
  };
}

/** The same names and ids lead to the same run, so that a start whose answer was lost can be repeated. */
async function startRun(
  api: WandbApi,
  { project, entity, group, tags }: WandbSettings,
  facts: RunFacts,
  signal: AbortSignal,
): Promise<RunPlace> {
  const { jobId, name, tracking: { wandb } } = facts;
  const metadata = metadataOf(facts);
  const config = configOf(facts);
  const place = await api.upsertRun({
    name: jobId,
    project: wandb?.project ?? project,
    entity: wandb?.entity ?? entity,
    groupName: group,
    displayName: wandb?.name ?? name,
    config: JSON.stringify(config),
    host: metadata.host,
    program: metadata.program,
    tags: [...new Set([...tags, ...wandb?.tags ?? []])],
  }, signal);
  await api.uploadFiles(place, {
    "wandb-metadata.json": JSON.stringify(metadata, null, 2),
    // JSON is YAML.
    "config.yaml": JSON.stringify(config, null, 2),
  }, signal);
  return place;
}

async function streamBatch(
  api: WandbApi,
  { place, rows }: z.output<typeof stateSchema>,
  { content, summary }: { readonly content: readonly string[]; readonly summary: string },
  { end }: Batch,
  signal: AbortSignal,
): Promise<void> {
  if (end !== null) await api.uploadFiles(place, { "wandb-summary.json": summary }, signal);
  await api.stream(place, {
    files: {
      ...content.length > 0 ? { "wandb-history.jsonl": { offset: rows, content } } : {},
      "wandb-summary.json": { offset: 0, content: [summary] },
    },
    ...rows === 0 ? { uploaded: ["wandb-metadata.json", "config.yaml"] } : {},
    ...end === null
      ? {}
      : { uploaded: ["wandb-summary.json"], complete: true, exitcode: EXIT_CODES[end.status] },
  }, signal);
}

/** Where people see what the API stores, as W&B's client finds it. */
function appUrl(url: string): string {
  return url.includes("://api.wandb.") ? url.replace("://api.", "://") : url.replace("://api.", "://app.");
}
