/** The job store of unit tests: a `Map` for each kind, in order of creation. */
import { isFinished } from "../job.ts";
import type { JobRecord } from "../job.ts";
import type { CheckpointRecord, FileRecord, JobEvent, JobStore, Page, PageQuery } from "./job_store.ts";

/** A store that forgets everything with its process. */
export function createMemoryJobStore(): JobStore {
  const jobs = new Map<string, JobRecord>();
  const files = new Map<string, FileRecord>();
  const checkpoints = new Map<string, CheckpointRecord>();
  const events: JobEvent[] = [];

  const appendEvents: JobStore["appendEvents"] = (added) => {
    const numbered = added.map((event, index) => ({ ...event, number: events.length + index + 1 }));
    events.push(...numbered);
    return numbered;
  };
  const eventsOf = (jobId: string) => events.filter((event) => event.jobId === jobId);

  return {
    putJob(job, added) {
      jobs.set(job.id, job);
      return appendEvents(added);
    },
    job: (id) => jobs.get(id) ?? null,
    jobs: (query) => pageOf([...jobs.values()], query),
    unfinishedJobs: () => [...jobs.values()].filter((job) => !isFinished(job.status)),

    appendEvents,
    events(jobId, { after, limit }) {
      const older = eventsOf(jobId).filter((event) => after === null || event.number < after).reverse();
      return { items: older.slice(0, limit), hasMore: older.length > limit };
    },
    eventsSince: (jobId, number, limit) =>
      eventsOf(jobId).filter((event) => event.number > number).slice(0, limit),

    putCheckpoint(checkpoint) {
      for (const [id, { jobId, step }] of checkpoints) {
        if (jobId === checkpoint.jobId && step === checkpoint.step) checkpoints.delete(id);
      }
      checkpoints.set(checkpoint.id, checkpoint);
    },
    checkpoints: (jobId, query) =>
      pageOf([...checkpoints.values()].filter((checkpoint) => checkpoint.jobId === jobId), query),
    deleteCheckpoints(jobId) {
      for (const [id, checkpoint] of checkpoints) if (checkpoint.jobId === jobId) checkpoints.delete(id);
    },

    putFile(file) {
      files.set(file.id, file);
    },
    file: (id) => files.get(id) ?? null,
    files: (query) =>
      pageOf(
        [...files.values()].filter((file) => query.purpose === null || file.purpose === query.purpose),
        query,
      ),
    deleteFile: (id) => files.delete(id),
    probe() {},
    close() {},
  };
}

function pageOf<T extends { readonly id: string }>(oldestFirst: readonly T[], query: PageQuery): Page<T> {
  const ordered = query.order === "asc" ? oldestFirst : oldestFirst.toReversed();
  const afterIndex = ordered.findIndex((item) => item.id === query.after);
  if (query.after !== null && afterIndex < 0) return { items: [], hasMore: false };
  const rest = ordered.slice(afterIndex + 1);
  return { items: rest.slice(0, query.limit), hasMore: rest.length > query.limit };
}
