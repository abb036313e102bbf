/**
 * A pod's name says which fleet and job it belongs to, so that it is found without any file on this machine:
 * `lorafleet.<fleet>.<job>.<suffix>`. REST v2 has no labels on pods that a creation could set.
 */

const PREFIX = "lorafleet";
/** In place of a job's id. */
const NO_JOB = "any";

export interface PodName {
  readonly fleet: string;
  /** Null: for all jobs. */
  readonly jobId: string | null;
}

/** What `--fleet` may be: no dots. */
export const FLEET_PATTERN = /^[a-z0-9][a-z0-9-]{0,39}$/;

/** @param suffix makes the name unique */
export function podName({ fleet, jobId }: PodName, suffix: string): string {
  return [PREFIX, fleet, jobId ?? NO_JOB, suffix].join(".");
}

/** Null: not one of ours. */
export function readPodName(name: string): PodName | null {
  const [prefix, fleet, job, suffix, ...more] = name.split(".");
  if (prefix !== PREFIX || !fleet || !job || !suffix || more.length > 0) return null;
  return { fleet, jobId: job === NO_JOB ? null : job };
}

/** Whether a pod belongs to the fleet; null: to any. */
export function isOf(name: string, fleet: string | null): boolean {
  const found = readPodName(name);
  return found !== null && (fleet === null || found.fleet === fleet);
}
