/** Trackers as the coordinator's start puts them around its jobs. */
import type { TrackerSettings } from "../config/tracker_settings.ts";
import type { JobServiceOptions } from "../jobs/job_context.ts";
import type { JobService } from "../jobs/job_service.ts";
import { type TrackingOptions, trackJobs } from "./track_jobs.ts";
import { admitTracking, createTrackers } from "./trackers.ts";

interface OpenTrackers extends Pick<JobServiceOptions, "admitTracking"> {
  /** The same service, whose jobs are reported. */
  readonly track: (jobs: JobService) => JobService;
}

export function openTrackers(
  settings: TrackerSettings,
  options: Pick<TrackingOptions, "store" | "clock" | "onDefect" | "folder">,
): OpenTrackers {
  const trackers = createTrackers(settings);
  const { workerHourPrice } = settings;
  return {
    admitTracking: (request) => admitTracking(trackers, request),
    track: (jobs) => trackJobs(jobs, { ...options, trackers, workerHourPrice }),
  };
}
