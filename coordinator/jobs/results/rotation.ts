/** `training.save_total_limit`: older checkpoints are deleted, as transformers does (`rotate_checkpoints`). */
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import { checkpointModelName, type JobRecord } from "../record/job.ts";
import type { JobStore } from "../stores/job_store.ts";

interface RotationParts {
  readonly store: Pick<JobStore, "unfinishedJobs" | "deleteCheckpoint">;
  readonly artifacts: Pick<ArtifactStore, "isRead" | "drop">;
  /** Runs a change of the store once the disk accepts it. */
  readonly write: (write: () => void) => Promise<void>;
  readonly onDefect: (message: string, thrown: unknown) => void;
}

/**
 * Steps whose checkpoints are deleted. The newest stays, and so does the best; with a limit of 1 these may be two.
 * @param steps of the stored checkpoints
 */
export function surplusCheckpoints(steps: Iterable<number>, limit: number, best: number | null): number[] {
  const newestFirst = [...steps].sort((a, b) => b - a);
  const kept = new Set(newestFirst.slice(0, 1));
  if (best !== null && newestFirst.includes(best)) kept.add(best);
  for (const step of newestFirst) if (kept.size < limit) kept.add(step);
  return newestFirst.filter((step) => !kept.has(step)).reverse();
}

/**
 * Deletes what is too many and returns their steps. A checkpoint that a client is reading, or from which a job that has not finished
 * trains on, is left for the next time.
 */
export async function rotateCheckpoints(
  { store, artifacts, write, onDefect }: RotationParts,
  job: JobRecord,
  steps: Iterable<number>,
): Promise<number[]> {
  const { save_total_limit: limit } = job.spec.training;
  if (limit === undefined) return [];
  const deleted: number[] = [];
  for (const step of surplusCheckpoints(steps, limit, job.best?.step ?? null)) {
    if (artifacts.isRead(job.id, step) || isNeeded(store.unfinishedJobs(), checkpointModelName(job, step))) {
      continue;
    }
    // The record goes first: what is listed can be downloaded.
    await write(() => store.deleteCheckpoint(job.id, step));
    await artifacts.drop(job.id, step)
      .catch((thrown) => onDefect(`the checkpoint of step ${step} of ${job.id} is left behind`, thrown));
    deleted.push(step);
  }
  return deleted;
}

function isNeeded(unfinished: readonly JobRecord[], name: string): boolean {
  return unfinished.some(({ spec }) =>
    [spec.initial_adapter?.model, spec.resumed_state?.model].includes(name)
  );
}

export function describeDeleted(step: number): string {
  return `The checkpoint of step ${step} is deleted (training.save_total_limit).`;
}
