/** The job store of unit tests: a `Map` for each kind, in order of creation. */
import { isFinished } from "../jobs/job.ts";
import type { JobRecord } from "../jobs/job.ts";
import { unknownPlace } from "../jobs/job_store.ts";
import type {
  CheckpointRecord,
  FileRecord,
  JobEvent,
  JobStore,
  MetadataFilter,
  Page,
  PageQuery,
} from "../jobs/job_store.ts";

/** A store that forgets everything with its process. */
export function createMemoryJobStore(): JobStore {
  const jobs = new Map<string, JobRecord>();
  const files = new Map<string, FileRecord>();
  const checkpoints = new Map<string, CheckpointRecord>();
  const events: JobEvent[] = [];
  /** When each id came, also of what is deleted. */
  const places = new Map<string, number>();
  const place = (id: string): void => {
    if (!places.has(id)) places.set(id, places.size);
  };

  const appendEvents: JobStore["appendEvents"] = (added) => {
    const numbered = added.map((event, index) => ({ ...event, number: events.length + index + 1 }));
    events.push(...numbered);
    return numbered;
  };
  const eventsOf = (jobId: string) => events.filter((event) => event.jobId === jobId);

  return {
    putJob(job, added) {
      place(job.id);
      jobs.set(job.id, job);
      return appendEvents(added);
    },
    job: (id) => jobs.get(id) ?? null,
    jobs: ({ metadata, ...query }) =>
      pageOf([...jobs.values()].filter((job) => hasMetadata(job, metadata)), query, places),
    unfinishedJobs: () => [...jobs.values()].filter((job) => !isFinished(job.status)),

    appendEvents,
    events(jobId, { after, limit }) {
      const older = eventsOf(jobId).filter((event) => after === null || event.number < after).reverse();
      return { items: older.slice(0, limit), hasMore: older.length > limit };
    },
    eventsSince: (jobId, number, limit) =>
      eventsOf(jobId).filter((event) => event.number > number).slice(0, limit),

    putCheckpoint(checkpoint) {
      place(checkpoint.id);
      for (const [id, { jobId, step }] of checkpoints) {
        if (jobId === checkpoint.jobId && step === checkpoint.step) checkpoints.delete(id);
      }
      checkpoints.set(checkpoint.id, checkpoint);
    },
    checkpoints: (jobId, query) =>
      pageOf([...checkpoints.values()].filter((checkpoint) => checkpoint.jobId === jobId), query, places),
    deleteCheckpoints(jobId) {
      for (const [id, checkpoint] of checkpoints) if (checkpoint.jobId === jobId) checkpoints.delete(id);
    },

    putFile(file) {
      place(file.id);
      files.set(file.id, file);
    },
    file: (id) => files.get(id) ?? null,
    files: (query) =>
      pageOf(
        [...files.values()].filter((file) => query.purpose === null || file.purpose === query.purpose),
        query,
        places,
      ),
    deleteFile: (id) => files.delete(id),
    probe() {},
    close() {},
  };
}

function hasMetadata({ metadata }: JobRecord, wanted: MetadataFilter | undefined): boolean {
  if (wanted === undefined) return true;
  if (wanted === null) return metadata === null;
  if (metadata === null) return Object.keys(wanted).length === 0;
  return Object.entries(wanted).every(([key, value]) =>
    Object.hasOwn(metadata, key) && metadata[key] === value
  );
}

function pageOf<T extends { readonly id: string }>(
  oldestFirst: readonly T[],
  query: PageQuery,
  places: ReadonlyMap<string, number>,
): Page<T> {
  const isAscending = query.order === "asc";
  const ordered = isAscending ? oldestFirst : oldestFirst.toReversed();
  const after = query.after === null ? null : places.get(query.after) ?? null;
  if (query.after !== null && after === null) throw unknownPlace(query.after);
  const rest = ordered.filter(({ id }) =>
    after === null || (isAscending ? places.get(id)! > after : places.get(id)! < after)
  );
  return { items: rest.slice(0, query.limit), hasMore: rest.length > query.limit };
}
