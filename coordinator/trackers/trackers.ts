/** The table of trackers: how each is set up from the coordinator's settings, and whether a job may ask for it. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { Configured, TrackerSettings } from "../config/tracker_settings.ts";
import {
  TRACKER_NAMES,
  type TrackerName,
  type Tracking,
  type TrackingRequest,
} from "../job_request/tracking.ts";
import { metricsJsonl } from "./metrics_jsonl.ts";
import { mlflow } from "./mlflow/mlflow.ts";
import { wandb } from "./wandb/wandb.ts";
import { tensorboard } from "./tensorboard/tensorboard.ts";
import type { Tracker } from "./run/tracker.ts";

/** A tracker with settings, or what to set. */
export type Trackers = Readonly<Record<TrackerName, Configured<Tracker>>>;

/** A tracker that answers more slowly accepts no job and refuses none. */
const CHECK_TIMEOUT_MS = 5000;

export function createTrackers(settings: TrackerSettings): Trackers {
  const { runsFolder } = settings;
  return {
    tensorboard: { settings: tensorboard(runsFolder) },
    mlflow: configured(settings.mlflow, mlflow),
    wandb: configured(settings.wandb, wandb),
    jsonl: { settings: metricsJsonl(runsFolder) },
  };
}

function configured<T>(settings: Configured<T>, create: (settings: T) => Tracker): Configured<Tracker> {
  return "missing" in settings ? settings : { settings: create(settings.settings) };
}

/**
 * The trackers of a new job; "all" are those with settings. Throws `invalid_request` for one without settings, or whose server
 * refuses the key. A tracker that is down is no reason to refuse a job.
 */
export async function admitTracking(trackers: Trackers, request: TrackingRequest): Promise<Tracking> {
  const configured = TRACKER_NAMES.filter((name) => "settings" in trackers[name]);
  const reportTo = request.reportTo === "all" ? configured : [...request.reportTo];
  const tracking = { ...request, reportTo };
  await Promise.all(reportTo.map(async (name) => {
    const tracker = trackers[name];
    if ("missing" in tracker) throw refusal(name, tracker.missing);
    await tracker.settings.check(tracking, AbortSignal.timeout(CHECK_TIMEOUT_MS)).catch((thrown) => {
      if (!(thrown instanceof LoraFleetError)) throw thrown;
      if (thrown.code === "unauthorized") throw refusal(name, thrown.message);
    });
  }));
  return tracking;
}

function refusal(name: TrackerName, why: string): LoraFleetError {
  const message = `training.report_to asks for ${quote(name)}, which cannot take this run: ${why}`;
  return new LoraFleetError("invalid_request", message, { param: "training.report_to" });
}
