/** The job store on disk: one SQLite file in the data folder. */
import { z } from "zod";
import { quote } from "../../../shared/errors.ts";
import { copyDatabase } from "../../storage/copy_database.ts";
import { inTransaction, onDatabase } from "../../storage/sqlite.ts";
import { compileOnce } from "../../storage/statements.ts";
import { isFinished, jobRecordSchema } from "../record/job.ts";
import { createJobCounts } from "./job_counts.ts";
import { openJobDatabase, SCHEMA_VERSION } from "./job_database.ts";
import { checkpointRecordSchema, fileRecordSchema, jobEventSchema } from "./job_store.ts";
import type { JobEvent, JobStore, MetadataFilter } from "./job_store.ts";
import { type Condition, SqliteRecords } from "./sqlite_records.ts";

const requestSchema = z.object({ key: z.string(), bodySha256: z.string(), jobId: z.string() });
const eventRecordSchema = z.looseObject({});

/**
 * Opens the store at `path`, or creates it; `:memory:` is one without a file. A record that cannot be read is skipped and
 * reported once, so that one damaged row keeps neither the coordinator from starting nor others from being read. Throws
 * `conflict` if another process holds it, `storage` if it cannot be opened or a newer lorafleet wrote it.
 */
export function openSqliteJobStore(
  path: string,
  onUnreadable: (message: string) => void = () => {},
  onMigrated?: (from: number, to: number) => void,
): JobStore {
  const db = openJobDatabase(path, onMigrated);
  const compiled = compileOnce(db);
  const counts = createJobCounts(compiled);
  const records = new SqliteRecords(db, compiled, (table, seq, problem) =>
    onUnreadable(
      `skipping row ${seq} of the table ${quote(table)} in ${quote(path)}, which cannot be read: ${problem}`,
    ));
  const insertEvent = compiled("INSERT INTO events (job_id, record) VALUES (?, ?)");
  const insertEvents: JobStore["appendEvents"] = (events) =>
    events.map((event) => {
      const { lastInsertRowid } = insertEvent.run(event.jobId, JSON.stringify(event));
      return { ...event, number: Number(lastInsertRowid) };
    });

  return {
    putJob: (job, events, request = null) =>
      counts.around(job, () =>
        inTransaction(db, () => {
          compiled(`INSERT INTO jobs (id, finished, record) VALUES (?1, ?2, ?3)
          ON CONFLICT (id) DO UPDATE SET finished = ?2, record = ?3`)
            .run(job.id, isFinished(job.status) ? 1 : 0, JSON.stringify(job));
          if (request !== null) {
            compiled("INSERT OR REPLACE INTO requests (key, body_sha256, job_id) VALUES (?, ?, ?)")
              .run(request.key, request.bodySha256, job.id);
          }
          return insertEvents(events);
        })),
    requestOf(key) {
      const sql = "SELECT key, body_sha256 AS bodySha256, job_id AS jobId FROM requests WHERE key = ?";
      const found = onDatabase("read a record", () => compiled(sql).get(key));
      return found === undefined ? null : requestSchema.parse(found);
    },
    job: (id) => records.select(jobRecordSchema, "jobs", "WHERE id = ?", id)[0] ?? null,
    jobs: ({ metadata, ...query }) => {
      const narrow = metadata === undefined ? [] : metadataConditions(metadata);
      return records.page(jobRecordSchema, "jobs", narrow, query);
    },
    jobCounts: counts.all,
    unfinishedJobs: () => records.select(jobRecordSchema, "jobs", "WHERE finished = 0 ORDER BY seq"),

    appendEvents: (events) => inTransaction(db, () => insertEvents(events)),
    ...eventLists(records),

    putCheckpoint(checkpoint) {
      const { id, jobId, step } = checkpoint;
      const sql = "INSERT OR REPLACE INTO checkpoints (id, job_id, step, record) VALUES (?, ?, ?, ?)";
      records.write(sql, id, jobId, step, JSON.stringify(checkpoint));
    },
    checkpoints: (jobId, query) => records.page(checkpointRecordSchema, "checkpoints", [ofJob(jobId)], query),
    deleteCheckpoints: (jobId) => void records.remove("checkpoints", ofJob(jobId)),
    deleteCheckpoint: (jobId, step) =>
      void records.remove("checkpoints", { sql: "job_id = ? AND step = ?", parameters: [jobId, step] }),

    ...fileLists(records),
    // Rewriting the version sends a page through the log to the disk, as any record does.
    probe: () => onDatabase("store a record", () => db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`)),
    copyTo: (path) => copyDatabase(db, path),
    close: () => db.close(),
  };
}

const ofJob = (jobId: string): Condition => ({ sql: "job_id = ?", parameters: [jobId] });

function fileLists(
  records: SqliteRecords,
): Pick<JobStore, "putFile" | "file" | "hasFile" | "files" | "uploadedBytes" | "deleteFile"> {
  return {
    putFile(file) {
      const sql = `INSERT INTO files (id, purpose, record, owner, size) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (id) DO UPDATE SET purpose = ?2, record = ?3, owner = ?4, size = ?5`;
      records.write(sql, file.id, file.purpose, JSON.stringify(file), file.owner ?? null, file.size);
    },
    file: (id) => records.select(fileRecordSchema, "files", "WHERE id = ?", id)[0] ?? null,
    hasFile: (id) => records.rows("files", "WHERE id = ?", id).length > 0,
    files: ({ purpose, ...query }) => {
      const narrow = purpose === null ? [] : [{ sql: "purpose = ?", parameters: [purpose] }];
      return records.page(fileRecordSchema, "files", narrow, query);
    },
    uploadedBytes: (owner) => records.sum("files", "size", { sql: "owner = ?", parameters: [owner] }),
    deleteFile: (id) => records.remove("files", { sql: "id = ?", parameters: [id] }),
  };
}

function eventLists(records: SqliteRecords): Pick<JobStore, "events" | "eventsSince"> {
  const select = (tail: string, jobId: string, number: number, limit: number): JobEvent[] =>
    records.rows("events", `WHERE job_id = ? AND ${tail} LIMIT ?`, jobId, number, limit)
      .map(({ seq, record }) =>
        jobEventSchema.parse({ ...eventRecordSchema.parse(JSON.parse(record)), number: seq })
      );
  return {
    events(jobId, { after, limit }) {
      const found = select("seq < ? ORDER BY seq DESC", jobId, after ?? Number.MAX_SAFE_INTEGER, limit + 1);
      return { items: found.slice(0, limit), hasMore: found.length > limit };
    },
    eventsSince: (jobId, number, limit) => select("seq > ? ORDER BY seq", jobId, number, limit),
  };
}

function metadataConditions(wanted: MetadataFilter): Condition[] {
  if (wanted === null) return [{ sql: "json_type(record, '$.metadata') = 'null'", parameters: [] }];
  return Object.entries(wanted).map((pair) => ({
    sql:
      "EXISTS (SELECT 1 FROM json_each(record, '$.metadata') AS pair WHERE pair.key = ? AND pair.value = ?)",
    parameters: pair,
  }));
}
