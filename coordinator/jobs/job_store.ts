/**
 * What the coordinator must not forget: jobs, their events and checkpoints, and the files that were uploaded.
 *
 * Synchronous on purpose: the coordinator is the only writer, so that reading, deciding and writing in one turn of the
 * event loop is a transaction without any locks (docs/decisions/0005).
 */
import { z } from "zod";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { JobRecord } from "./job.ts";

export const eventLevelSchema = z.enum(["info", "warn", "error"]);
export const eventTypeSchema = z.enum(["message", "metrics"]);

/** One event of a job, without the id that the store gives it. */
export const newJobEventSchema = z.strictObject({
  jobId: z.string(),
  /** Milliseconds since the Unix epoch. */
  createdAt: z.number(),
  level: eventLevelSchema,
  type: eventTypeSchema,
  message: z.string(),
  data: z.record(z.string(), z.unknown()).nullable(),
});
export type NewJobEvent = z.output<typeof newJobEventSchema>;

/** `number` grows with every event, over all jobs, and is never given twice. */
export const jobEventSchema = newJobEventSchema.extend({ number: z.int().positive() });
export type JobEvent = z.output<typeof jobEventSchema>;

export const checkpointRecordSchema = z.strictObject({
  id: z.string(),
  jobId: z.string(),
  createdAt: z.number(),
  step: z.int().positive(),
  /** Of the step that the checkpoint was written after; null where it is not known. */
  trainLoss: z.number().nullable(),
  files: z.array(z.strictObject({ name: z.string(), size: z.int(), sha256: z.string() })),
});
export type CheckpointRecord = z.output<typeof checkpointRecordSchema>;

export const fileRecordSchema = z.strictObject({
  id: z.string(),
  createdAt: z.number(),
  filename: z.string(),
  purpose: z.string(),
  size: z.int(),
  sha256: z.string(),
  /** Where a job's result lies in the artifact store; null for an upload. */
  artifact: z.strictObject({ jobId: z.string(), step: z.int(), name: z.string() }).nullable(),
  /** From then on it is deleted, unless an unfinished job needs it; null: it is kept. */
  expiresAt: z.number().nullable().default(null),
});
export type FileRecord = z.output<typeof fileRecordSchema>;

/**
 * `after` is the id of the last item of the page before. Its place outlives it: whoever deletes the items of a page while
 * going through the list meets each of the others once.
 */
export interface PageQuery {
  readonly after: string | null;
  readonly limit: number;
  /** `desc`, newest first, unless told. */
  readonly order?: "asc" | "desc";
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly hasMore: boolean;
}

/** Jobs whose metadata has all these pairs; null: jobs without metadata. */
export type MetadataFilter = Readonly<Record<string, string>> | null;

/** Lists throw a `LoraFleetError` with code `not_found` where `after` is the id of nothing that was ever in them. */
export interface JobStore {
  /** Stores a new job or replaces it, and appends events, all or nothing. Returns the events with their numbers. */
  putJob(job: JobRecord, events: readonly NewJobEvent[]): readonly JobEvent[];
  job(id: string): JobRecord | null;
  jobs(query: PageQuery & { readonly metadata?: MetadataFilter }): Page<JobRecord>;
  /** Jobs that have not finished, in the order in which they were created. */
  unfinishedJobs(): readonly JobRecord[];

  appendEvents(events: readonly NewJobEvent[]): readonly JobEvent[];
  /** A page of a job's events, newest first; `after` is an event's number. */
  events(jobId: string, query: { after: number | null; limit: number }): Page<JobEvent>;
  /** A job's events with a number above `number`, oldest first. */
  eventsSince(jobId: string, number: number, limit: number): readonly JobEvent[];

  /** Stores a checkpoint; one of the same job and step is replaced. */
  putCheckpoint(checkpoint: CheckpointRecord): void;
  checkpoints(jobId: string, query: PageQuery): Page<CheckpointRecord>;
  deleteCheckpoints(jobId: string): void;

  putFile(file: FileRecord): void;
  file(id: string): FileRecord | null;
  files(query: PageQuery & { purpose: string | null }): Page<FileRecord>;
  /** Whether it was there. */
  deleteFile(id: string): boolean;

  /** Writes what is there already. Throws code `storage` where the disk does not take it, as every change of the store does. */
  probe(): void;

  close(): void;
}

/** What a list throws for an `after` that never was. */
export function unknownPlace(after: string): LoraFleetError {
  return new LoraFleetError(
    "not_found",
    `cannot list what comes after ${quote(after)}: nothing in this list has ever had that id`,
    { param: "after" },
  );
}
