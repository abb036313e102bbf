/** A worker's current job, and how heartbeats report it. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { type Log, logAbout } from "../../shared/log.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { WorkerJob } from "../../shared/protocol/messages_worker.ts";
import type { LoadedJob } from "./load_job.ts";

/** A job is reloaded until this many sessions have failed; its state comes from the other workers. */
const MAX_FAILED_SESSIONS = 3;

export interface HostedJob {
  readonly announcement: JobAnnouncement;
  phase: "loading" | "loaded" | "failed" | "over";
  loaded: LoadedJob | null;
  /** Sessions after which the engine's state could not be trusted. */
  failedSessions: number;
  /** How often the disk had no room for the base model. */
  fullDisks: number;
  /** Reported until the job is loaded, also during retries. */
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

/** Whether nothing is left to do for it here. */
export function isDone({ phase }: HostedJob): boolean {
  return phase === "over" || phase === "failed";
}

export function logStart(announcement: JobAnnouncement, before: HostedJob | null, log: Log): void {
  const { jobId, model, baseModelName } = announcement;
  const say = logAbout(log, { job: jobId });
  const isRestart = before?.announcement.jobId === jobId && !isSameStart(before.announcement, announcement);
  if (isRestart) say("info", `job ${jobId} starts again`);
  say("info", `job ${jobId} needs base model ${model.hash.slice(0, 12)} (${baseModelName})`);
}

/** Marks the job as failed on this worker; heartbeats report the reason. */
export function failJob(job: HostedJob, thrown: unknown, log: Log): NonNullable<HostedJob["failure"]> {
  job.phase = "failed";
  job.loaded = null;
  job.failure = failureOf(thrown);
  const { jobId } = job.announcement;
  log("error", `job ${jobId} does not run here: ${job.failure.message}`, { job: jobId });
  return job.failure;
}

/** The message fits a heartbeat. */
function failureOf(thrown: unknown): NonNullable<HostedJob["failure"]> {
  const isOurs = thrown instanceof LoraFleetError;
  const { code, param } = isOurs ? thrown : { code: "gpu_failure" as const, param: null };
  const advice = "; this worker tries again by itself: make room on the disk of its cache folder";
  const message = messageOf(thrown).slice(0, 3800) + (code === "storage" ? advice : "");
  return { code, message, param };
}

/** Counts a failed session: a fresh engine may survive the GPU's failure, but not forever. */
export function isWorthReloading(job: HostedJob, thrown: unknown, log: Log): boolean {
  job.failedSessions++;
  if (job.failedSessions >= MAX_FAILED_SESSIONS) return false;
  log("error", `${messageOf(thrown)}: loading the job again`, { job: job.announcement.jobId });
  job.phase = "loading";
  job.loaded = null;
  return true;
}

/** @param isServing whether a session of the job receives what others send */
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
  const { held: { committed }, pissaDigest, gpuMemory } = loaded;
  const pissa = pissaDigest === undefined ? {} : { pissaDigest };
  return { phase: "loaded", jobId, startId, layout, committed, ...pissa, gpuMemory };
}
