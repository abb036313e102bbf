/** The job store on disk: one SQLite file in the data folder, records as JSON that is parsed when it is read. */
import { dirname } from "@std/path";
import { mkdirSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { SQLInputValue } from "node:sqlite";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { isFinished, jobRecordSchema } from "../job.ts";
import { checkpointRecordSchema, fileRecordSchema, jobEventSchema } from "./job_store.ts";
import type { JobEvent, JobStore, Page, PageQuery } from "./job_store.ts";
import { inTransaction, onDatabase } from "./sqlite.ts";

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, finished INTEGER NOT NULL, record TEXT NOT NULL
  ) STRICT;
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX events_by_job ON events (job_id, seq);
  CREATE TABLE checkpoints (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, job_id TEXT NOT NULL, step INTEGER NOT NULL,
    record TEXT NOT NULL, UNIQUE (job_id, step)
  ) STRICT;
  CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, purpose TEXT NOT NULL, record TEXT NOT NULL
  ) STRICT;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

const rowSchema = z.object({ seq: z.int(), record: z.string() });

/**
 * Opens the store at `path`, or makes it.
 *
 * Throws a `LoraFleetError`: `conflict` when another process holds it, `storage` when it cannot be opened or was
 * written by another version of lorafleet.
 */
export function openSqliteJobStore(path: string): JobStore {
  const db = open(path);

  const transaction = <T>(work: () => T): T => inTransaction(db, work);

  /** One statement that changes something; gives the number of rows that it has changed. */
  const write = (sql: string, ...parameters: SQLInputValue[]): number =>
    onDatabase("store a record", () => Number(db.prepare(sql).run(...parameters).changes));

  const rows = (sql: string, ...parameters: SQLInputValue[]) =>
    onDatabase("read a record", () => db.prepare(sql).all(...parameters));

  const select = <T>(schema: z.ZodType<T>, tail: string, ...parameters: SQLInputValue[]): T[] =>
    rows(`SELECT seq, record FROM ${tail}`, ...parameters).map((row) =>
      schema.parse(JSON.parse(rowSchema.parse(row).record))
    );

  const selectEvents = (tail: string, ...parameters: SQLInputValue[]): JobEvent[] =>
    rows(`SELECT seq, record FROM events ${tail}`, ...parameters).map((row) => {
      const { seq, record } = rowSchema.parse(row);
      return jobEventSchema.parse({ ...z.looseObject({}).parse(JSON.parse(record)), number: seq });
    });

  /** `column = value` narrows the table, null for all of it. */
  const page = <T>(
    schema: z.ZodType<T>,
    table: "jobs" | "checkpoints" | "files",
    narrow: readonly [column: "job_id" | "purpose", value: string] | null,
    query: PageQuery,
  ): Page<T> => {
    const ascending = query.order === "asc";
    const conditions: string[] = [];
    const parameters: SQLInputValue[] = [];
    if (narrow !== null) {
      conditions.push(`${narrow[0]} = ?`);
      parameters.push(narrow[1]);
    }
    if (query.after !== null) {
      conditions.push(`seq ${ascending ? ">" : "<"} (SELECT seq FROM ${table} WHERE id = ?)`);
      parameters.push(query.after);
    }
    const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
    const found = select(
      schema,
      `${table} ${where} ORDER BY seq ${ascending ? "ASC" : "DESC"} LIMIT ?`,
      ...parameters,
      query.limit + 1,
    );
    return { items: found.slice(0, query.limit), hasMore: found.length > query.limit };
  };

  const insertEvent = db.prepare("INSERT INTO events (job_id, record) VALUES (?, ?)");
  const insertEvents: JobStore["appendEvents"] = (events) =>
    events.map((event) => {
      const { lastInsertRowid } = insertEvent.run(event.jobId, JSON.stringify(event));
      return { ...event, number: Number(lastInsertRowid) };
    });

  return {
    putJob: (job, events) =>
      transaction(() => {
        db.prepare(`INSERT INTO jobs (id, finished, record) VALUES (?1, ?2, ?3)
          ON CONFLICT (id) DO UPDATE SET finished = ?2, record = ?3`)
          .run(job.id, isFinished(job.status) ? 1 : 0, JSON.stringify(job));
        return insertEvents(events);
      }),
    job: (id) => select(jobRecordSchema, "jobs WHERE id = ?", id)[0] ?? null,
    jobs: (query) => page(jobRecordSchema, "jobs", null, query),
    unfinishedJobs: () => select(jobRecordSchema, "jobs WHERE finished = 0 ORDER BY seq"),

    appendEvents: (events) => transaction(() => insertEvents(events)),
    events(jobId, { after, limit }) {
      const found = selectEvents(
        "WHERE job_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
        jobId,
        after ?? Number.MAX_SAFE_INTEGER,
        limit + 1,
      );
      return { items: found.slice(0, limit), hasMore: found.length > limit };
    },
    eventsSince: (jobId, number, limit) =>
      selectEvents("WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?", jobId, number, limit),

    putCheckpoint(checkpoint) {
      const { id, jobId, step } = checkpoint;
      write(
        "INSERT OR REPLACE INTO checkpoints (id, job_id, step, record) VALUES (?, ?, ?, ?)",
        id,
        jobId,
        step,
        JSON.stringify(checkpoint),
      );
    },
    checkpoints: (jobId, query) => page(checkpointRecordSchema, "checkpoints", ["job_id", jobId], query),
    deleteCheckpoints(jobId) {
      write("DELETE FROM checkpoints WHERE job_id = ?", jobId);
    },

    putFile(file) {
      write(
        "INSERT OR REPLACE INTO files (id, purpose, record) VALUES (?, ?, ?)",
        file.id,
        file.purpose,
        JSON.stringify(file),
      );
    },
    file: (id) => select(fileRecordSchema, "files WHERE id = ?", id)[0] ?? null,
    files: (query) =>
      page(fileRecordSchema, "files", query.purpose === null ? null : ["purpose", query.purpose], query),
    deleteFile: (id) => write("DELETE FROM files WHERE id = ?", id) > 0,
    // Stored anew, as it is: a page of the file goes through the log and to the disk like any record.
    probe: () => onDatabase("store a record", () => db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`)),
    close: () => db.close(),
  };
}

function open(path: string): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    mkdirSync(dirname(path), { recursive: true });
    db = new DatabaseSync(path);
    // One coordinator for a data folder: the lock is taken here and held until the process ends.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    db.exec("BEGIN EXCLUSIVE");
    const { version } = z.object({ version: z.int() })
      .parse(db.prepare("SELECT user_version AS version FROM pragma_user_version").get());
    if (version === 0) db.exec(SCHEMA);
    else if (version !== SCHEMA_VERSION) {
      throw new LoraFleetError(
        "storage",
        `${quote(path)} has version ${version}; this lorafleet reads version ${SCHEMA_VERSION}`,
      );
    }
    db.exec("COMMIT");
    return db;
  } catch (thrown) {
    db?.close();
    if (thrown instanceof LoraFleetError) throw thrown;
    const message = messageOf(thrown);
    // "Locking protocol": two have opened it at the same moment.
    if (/locked|locking/.test(message)) {
      throw new LoraFleetError(
        "conflict",
        `${quote(path)} is in use by another coordinator: stop it, or choose another --data-folder`,
        { param: "data-folder", cause: thrown },
      );
    }
    throw new LoraFleetError("storage", `cannot open ${quote(path)}: ${message}`, {
      param: "data-folder",
      cause: thrown,
    });
  }
}
