/**
 * The coordinator's durable records: jobs with their events and checkpoints, and uploaded files.
 *
 * Synchronous on purpose: the coordinator is the only writer, so reading, deciding and writing in one turn of the event
 * loop is a transaction without locks (docs/decisions/0005).
 */
import { z } from "zod";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { JobRecord, JobStatus } from "../record/job.ts";

export const eventLevelSchema = z.enum(["info", "warn", "error"]);
export const eventTypeSchema = z.enum(["message", "metrics"]);

/** An event of a job before the store has numbered it. */
const newJobEventSchema = z.strictObject({
  jobId: z.string(),
  /** Milliseconds since the Unix epoch. */
  createdAt: z.number(),
  level: eventLevelSchema,
  type: eventTypeSchema,
  message: z.string(),
  data: z.record(z.string(), z.unknown()).nullable(),
});
export type NewJobEvent = z.output<typeof newJobEventSchema>;

/** `number` grows with each event, across all jobs, and is never reused. */
export const jobEventSchema = newJobEventSchema.extend({ number: z.int().positive() });
export type JobEvent = z.output<typeof jobEventSchema>;

export const checkpointRecordSchema = z.strictObject({
  id: z.string(),
  jobId: z.string(),
  createdAt: z.number(),
  step: z.int().positive(),
  /** The loss of the checkpoint's step; null if unknown. */
  trainLoss: z.number().nullable(),
  trainAccuracy: z.number().nullable().default(null),
  /** Of the evaluation after the checkpoint's step; null without one. */
  validLoss: z.number().nullable().default(null),
  validAccuracy: z.number().nullable().default(null),
  files: z.array(z.strictObject({ name: z.string(), size: z.int(), sha256: z.string() })),
  /** What another job needs to go on from the checkpoint's training state; null or left out: unknown. */
  commit: z.strictObject({ digest: z.string(), maxAbs: z.string() }).nullable().optional(),
});
export type CheckpointRecord = z.output<typeof checkpointRecordSchema>;

/** 0.1.0 removes the bytes of a record that it cannot read: a new field needs a new version of the database. */
export const fileRecordSchema = z.strictObject({
  id: z.string(),
  createdAt: z.number(),
  filename: z.string(),
  purpose: z.string(),
  size: z.int(),
  sha256: z.string(),
  /** A job's result in the artifact store; null for bytes in the file store. */
  artifact: z.strictObject({ jobId: z.string(), step: z.int(), name: z.string() }).nullable(),
  /** The file is deleted then, or once no unfinished job needs it; null: never. */
  expiresAt: z.number().nullable().default(null),
  /** The id of the API key that uploaded it; left out: a configured key, or none. */
  owner: z.string().optional(),
});
export type FileRecord = z.output<typeof fileRecordSchema>;

/**
 * `after` is the id of the previous page's last item. Its position outlives it: a client that deletes items while it
 * pages through the list still sees each of the others once.
 */
export interface PageQuery {
  readonly after: string | null;
  readonly limit: number;
  /** Default: `desc`, newest first. */
  readonly order?: "asc" | "desc";
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly hasMore: boolean;
}

/** A request for a job that its client may repeat. */
export interface KeyedRequest {
  /** The client's. */
  readonly key: string;
  /** In hexadecimal. */
  readonly bodySha256: string;
}

/** Selects jobs whose metadata has all these pairs; null: jobs without metadata. */
export type MetadataFilter = Readonly<Record<string, string>> | null;

/**
 * Lists throw code `not_found` if `after` was never the id of one of their items. Every change throws `storage` if the
 * disk refuses it.
 */
export interface JobStore {
  /**
   * Stores or replaces a job and appends events, all or nothing. Returns the numbered events.
   * @param request that made the job, to be found by its key from now on
   */
  putJob(job: JobRecord, events: readonly NewJobEvent[], request?: KeyedRequest | null): readonly JobEvent[];
  job(id: string): JobRecord | null;
  /** The request with this key that made a job; null if there is none. */
  requestOf(key: string): (KeyedRequest & { readonly jobId: string }) | null;
  jobs(query: PageQuery & { readonly metadata?: MetadataFilter }): Page<JobRecord>;
  /** Of all jobs, the finished ones included; a status without jobs may be left out. */
  jobCounts(): ReadonlyMap<JobStatus, number>;
  /** Oldest first. */
  unfinishedJobs(): readonly JobRecord[];

  appendEvents(events: readonly NewJobEvent[]): readonly JobEvent[];
  /** A page of a job's events, newest first; `after` is an event's number. */
  events(jobId: string, query: { after: number | null; limit: number }): Page<JobEvent>;
  /** A job's events above `number`, oldest first. */
  eventsSince(jobId: string, number: number, limit: number): readonly JobEvent[];

  /** Stores a checkpoint in place of any other of the same job and step. */
  putCheckpoint(checkpoint: CheckpointRecord): void;
  checkpoints(jobId: string, query: PageQuery): Page<CheckpointRecord>;
  deleteCheckpoints(jobId: string): void;
  deleteCheckpoint(jobId: string, step: number): void;

  putFile(file: FileRecord): void;
  file(id: string): FileRecord | null;
  /** Whether there is a record of it, even one that cannot be read, such as a newer release's. */
  hasFile(id: string): boolean;
  files(query: PageQuery & { purpose: string | null }): Page<FileRecord>;
  /** Bytes of all files of an owner. */
  uploadedBytes(owner: string): number;
  /** Returns whether it existed. */
  deleteFile(id: string): boolean;

  /** Writes to the disk without changing anything. */
  probe(): void;

  /** Copies everything into a new file while others go on. Throws `storage`. */
  copyTo(path: string): Promise<void>;

  close(): void;
}

/** The error of a list for an `after` that was never in it. */
export function unknownPlace(after: string): LoraFleetError {
  const message = `cannot list what follows ${quote(after)}: this list has never contained that id`;
  return new LoraFleetError("not_found", message, { param: "after" });
}
