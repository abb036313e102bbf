/** MLflow over its REST API, with the names that transformers' callback logs. */
import { z } from "zod";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { MlflowSettings } from "../../config/tracker_settings.ts";
import { TrackerHttp } from "../run/http.ts";
import type { Batch, RunEnd, RunFacts, RunState, TrackedRun, Tracker } from "../run/tracker.ts";

const API = "/api/2.0/mlflow";
/** MLflow's limits for one log-batch. */
const MAX_METRICS = 1000;
const MAX_PARAMS = 100;
const MAX_PARAM_LENGTH = 500;
/** By which a run is found again whose creation was not noted. */
const JOB_TAG = "lorafleet.job_id";

const STATUSES = { succeeded: "FINISHED", failed: "FAILED", cancelled: "KILLED" } as const;

const stateSchema = z.object({ runId: z.string(), experimentId: z.string() });
type MlflowState = z.output<typeof stateSchema>;

const runSchema = z.object({ info: z.object({ run_id: z.string() }) });
const createdSchema = z.object({ run: runSchema });
const foundSchema = z.object({ runs: z.array(runSchema).default([]) });
const experimentSchema = z.object({ experiment: z.object({ experiment_id: z.string() }) });
const newExperimentSchema = z.object({ experiment_id: z.string() });

export function mlflow(settings: MlflowSettings): Tracker {
  const { url, token, username, password } = settings;
  const http = new TrackerHttp({
    url,
    headers: authorization(settings),
    secrets: [token, password],
    remedy: username === null && token === null
      ? "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, for the coordinator"
      : "correct MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
  });
  const api: Api = { http, settings };
  return {
    title: `MLflow at ${url}`,
    held: null,
    async check(_tracking, signal) {
      await post(api, "experiments/search", { max_results: 1 }, signal);
    },
    open: (facts) => openRun(api, facts),
  };
}

interface Api {
  readonly http: TrackerHttp;
  readonly settings: MlflowSettings;
}

function authorization({ token, username, password }: MlflowSettings): Record<string, string> {
  // A user and a password go before a token, as in MLflow's client.
  if (username !== null && password !== null) {
    const bytes = new TextEncoder().encode(`${username}:${password}`);
    return { authorization: `Basic ${bytes.toBase64()}` };
  }
  return token === null ? {} : { authorization: `Bearer ${token}` };
}

async function post({ http }: Api, path: string, body: object, signal: AbortSignal): Promise<unknown> {
  return await http.request({ method: "POST", path: `${API}/${path}`, body: JSON.stringify(body) }, signal);
}

function openRun(api: Api, facts: RunFacts): TrackedRun {
  return {
    placeOf(state) {
      const { runId, experimentId } = stateSchema.parse(state);
      return `${api.settings.url}/#/experiments/${experimentId}/runs/${runId}`;
    },
    async send(batch, before, signal) {
      const state = before === null ? await startRun(api, facts, signal) : stateSchema.parse(before);
      await logPoints(api, state, batch, signal);
      if (batch.end !== null) await endRun(api, state, batch.end, signal);
      return { ...state } satisfies RunState;
    },
  };
}

/** Creates the run, or finds the one of an attempt that was not noted, and logs the hyperparameters. */
async function startRun(api: Api, facts: RunFacts, signal: AbortSignal): Promise<MlflowState> {
  const { jobId, name, startedAt, config } = facts;
  const experimentId = api.settings.experimentId ?? await experimentOf(api, signal);
  const filter = `tags.\`${JOB_TAG}\` = '${jobId.replaceAll("'", "")}'`;
  const search = { experiment_ids: [experimentId], filter, max_results: 1, run_view_type: "ACTIVE_ONLY" };
  const [found] = foundSchema.parse(await post(api, "runs/search", search, signal)).runs;
  const tags = {
    [JOB_TAG]: jobId,
    "mlflow.source.name": "lorafleet",
    "mlflow.source.type": "JOB",
    "mlflow.user": "lorafleet",
  };
  const run = {
    experiment_id: experimentId,
    run_name: name,
    start_time: startedAt,
    tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
  };
  const created = found ?? createdSchema.parse(await post(api, "runs/create", run, signal)).run;
  const runId = created.info.run_id;
  const params = Object.entries(config).map(([key, value]) => ({ key: keyOf(key), value: paramOf(value) }));
  for (const slice of slices(params, MAX_PARAMS)) {
    await post(api, "runs/log-batch", { run_id: runId, params: slice }, signal);
  }
  return { runId, experimentId };
}

async function experimentOf(api: Api, signal: AbortSignal): Promise<string> {
  const name = api.settings.experimentName;
  const path = `${API}/experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`;
  const found = await api.http.request({ method: "GET", path, accept: 404 }, signal);
  if (found !== null) return experimentSchema.parse(found).experiment.experiment_id;
  try {
    return newExperimentSchema.parse(await post(api, "experiments/create", { name }, signal)).experiment_id;
  } catch (thrown) {
    // Another job's delivery may have created it meanwhile.
    if (!(thrown instanceof LoraFleetError) || thrown.code !== "invalid_request") throw thrown;
    return experimentSchema.parse(await api.http.request({ method: "GET", path }, signal)).experiment
      .experiment_id;
  }
}

/** The server keeps one of equal metrics (key, step, time and value), so that a repeated batch changes nothing. */
async function logPoints(api: Api, { runId }: MlflowState, batch: Batch, signal: AbortSignal): Promise<void> {
  const { points, end } = batch;
  const last = end === null ? [] : [{ step: end.step, at: end.at, values: end.summary }];
  const metrics = [...points, ...last].flatMap(({ step, at, values }) =>
    Object.entries(values).map(([key, value]) => ({
      key: keyOf(key),
      value: jsonOf(value),
      timestamp: at,
      step,
    }))
  );
  for (const slice of slices(metrics, MAX_METRICS)) {
    await post(api, "runs/log-batch", { run_id: runId, metrics: slice }, signal);
  }
}

async function endRun(api: Api, { runId }: MlflowState, end: RunEnd, signal: AbortSignal): Promise<void> {
  if (end.error !== null) {
    const tag = { run_id: runId, key: "lorafleet.error", value: end.error.slice(0, MAX_PARAM_LENGTH) };
    await post(api, "runs/set-tag", tag, signal);
  }
  await post(api, "runs/update", { run_id: runId, status: STATUSES[end.status], end_time: end.at }, signal);
}

/** As protobuf's JSON writes a double. */
function jsonOf(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** MLflow's names have no other characters. */
function keyOf(name: string): string {
  return name.replaceAll(/[^\w\-. /]/g, "_").slice(0, 250);
}

function paramOf(value: unknown): string {
  return (typeof value === "string" ? value : JSON.stringify(value)).slice(0, MAX_PARAM_LENGTH);
}

function slices<T>(items: readonly T[], size: number): T[][] {
  return Array.from(
    { length: Math.ceil(items.length / size) },
    (_, index) => items.slice(index * size, (index + 1) * size),
  );
}
