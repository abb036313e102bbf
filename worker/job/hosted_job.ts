/** The job that a worker loads, has loaded, has failed at or is done with, and how heartbeats report it. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { JobAnnouncement, WorkerJob } from "../../shared/protocol/messages.ts";
import type { LoadedJob } from "./load_job.ts";

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

/** The message fits a heartbeat. */
export function jobFailureOf(thrown: unknown): NonNullable<HostedJob["failure"]> {
  const { code, param } = thrown instanceof LoraFleetError
    ? thrown
    : { code: "gpu_failure" as const, param: null };
  const advice = code === "storage"
    ? "; this worker tries again by itself: make room on the disk of its cache folder"
    : "";
  return { code, message: `${messageOf(thrown).slice(0, 3800)}${advice}`, param };
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
