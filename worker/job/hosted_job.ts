/** The job that a worker loads, has loaded, has failed at or is done with, and how heartbeats report it. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Log } from "../../shared/log.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { WorkerJob } from "../../shared/protocol/messages_worker.ts";
import type { LoadedJob } from "./load_job.ts";

/** A job is reloaded up to this often after its GPU failed; its state comes from the other workers. */
const MAX_FAILED_SESSIONS = 3;

export interface HostedJob {
  readonly announcement: JobAnnouncement;
  phase: "loading" | "loaded" | "failed" | "over";
  loaded: LoadedJob | null;
  /** Sessions that failed, after each of which the engine's state was not to be trusted. */
  failedSessions: number;
  /** Times that the disk had no room for the base model. */
  fullDisks: number;
  /** Reported until the job is loaded, also while loading is retried. */
  failure: Omit<Extract<WorkerJob, { phase: "failed" }>, "phase" | "jobId" | "startId"> | null;
}

/** The same start keeps its failures. */
export function newHostedJob(announcement: JobAnnouncement, before: HostedJob | null): HostedJob {
  const { failedSessions = 0, fullDisks = 0, failure = null } =
    before !== null && isSameStart(before.announcement, announcement) ? before : {};
  return { announcement, phase: "loading", loaded: null, failedSessions, fullDisks, failure };
}

export function isSameStart(a: JobAnnouncement | null, b: JobAnnouncement | null): boolean {
  return a?.startId === b?.startId && a?.jobId === b?.jobId;
}

export function logStart(announcement: JobAnnouncement, before: HostedJob | null, log: Log): void {
  const { jobId, model, baseModelName } = announcement;
  const isRestart = before?.announcement.jobId === jobId && !isSameStart(before.announcement, announcement);
  if (isRestart) log("info", `job ${jobId} starts again`);
  log("info", `job ${jobId} needs base model ${model.hash.slice(0, 12)} (${baseModelName})`);
}

/** The job does not run on this worker, for a reason that its heartbeats report. */
export function failJob(job: HostedJob, thrown: unknown, log: Log): NonNullable<HostedJob["failure"]> {
  job.phase = "failed";
  job.loaded = null;
  job.failure = failureOf(thrown);
  log("error", `job ${job.announcement.jobId} does not run here: ${job.failure.message}`);
  return job.failure;
}

/** The message fits a heartbeat. */
function failureOf(thrown: unknown): NonNullable<HostedJob["failure"]> {
  const { code, param } = thrown instanceof LoraFleetError
    ? thrown
    : { code: "gpu_failure" as const, param: null };
  const advice = code === "storage"
    ? "; this worker tries again by itself: make room on the disk of its cache folder"
    : "";
  return { code, message: `${messageOf(thrown).slice(0, 3800)}${advice}`, param };
}

/** Counts a failed session: a fresh engine may get over what happened to the GPU, but not any number of times. */
export function isWorthReloading(job: HostedJob, thrown: unknown, log: Log): boolean {
  job.failedSessions++;
  if (job.failedSessions >= MAX_FAILED_SESSIONS) return false;
  log("error", `${messageOf(thrown)}: loading the job again`);
  job.phase = "loading";
  job.loaded = null;
  return true;
}

/** @param isServing a session of the job receives what others send */
export function workerJobOf(
  { announcement, phase, loaded, failure }: HostedJob,
  isServing: boolean,
): WorkerJob | null {
  const { jobId, startId } = announcement;
  if (phase === "over") return null;
  if (failure !== null) return { phase: "failed", jobId, startId, ...failure };
  if (loaded === null || !isServing) return { phase: "loading", jobId, startId };
  const { tensors, elementCount, parameterCount } = loaded.layout;
  const layout = { tensorCount: tensors.length, elementCount, parameterCount };
  return { phase: "loaded", jobId, startId, layout, committed: loaded.held.committed };
}
