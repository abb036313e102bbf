/** The job store on disk: one SQLite file in the data folder, records as JSON that is parsed when it is read. */
import { dirname } from "@std/path";
import { mkdirSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { SQLInputValue } from "node:sqlite";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { isFinished, jobRecordSchema } from "./job.ts";
import { createPrivateFile, PRIVATE_FOLDER_MODE } from "../storage/private_folder.ts";
import { checkpointRecordSchema, fileRecordSchema, jobEventSchema, unknownPlace } from "./job_store.ts";
import type { JobEvent, JobStore, MetadataFilter, Page, PageQuery } from "./job_store.ts";
import { inTransaction, onDatabase } from "../storage/sqlite.ts";

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

/** Since 0.2: the places of deleted items in their lists. A version that does not know the table leaves it alone. */
const DELETED_TABLE = `
  CREATE TABLE IF NOT EXISTS deleted (kind TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (kind, id))
    STRICT, WITHOUT ROWID;
`;

const rowSchema = z.object({ seq: z.int(), record: z.string() });
const placeSchema = z.object({ seq: z.int() });

type ListedTable = "jobs" | "checkpoints" | "files";

interface Condition {
  readonly sql: string;
  readonly parameters: readonly SQLInputValue[];
}

function metadataConditions(wanted: MetadataFilter): Condition[] {
  if (wanted === null) return [{ sql: "json_type(record, '$.metadata') = 'null'", parameters: [] }];
  return Object.entries(wanted).map((pair) => ({
    sql:
      "EXISTS (SELECT 1 FROM json_each(record, '$.metadata') AS pair WHERE pair.key = ? AND pair.value = ?)",
    parameters: pair,
  }));
}

/**
 * Opens the store at `path`, or makes it. A record that cannot be read, since the disk has damaged it or somebody has edited it,
 * is left out and told of once: it must not keep the coordinator from starting, nor hide all others.
 *
 * Throws a `LoraFleetError`: `conflict` when another process holds it, `storage` when it cannot be opened or was
 * written by another version of lorafleet.
 */
export function openSqliteJobStore(
  path: string,
  onUnreadable: (message: string) => void = () => {},
): JobStore {
  const db = open(path);
  const toldOf = new Set<string>();

  const transaction = <T>(work: () => T): T => inTransaction(db, work);

  /** One statement that changes something; gives the number of rows that it has changed. */
  const write = (sql: string, ...parameters: SQLInputValue[]): number =>
    onDatabase("store a record", () => Number(db.prepare(sql).run(...parameters).changes));

  const rows = (sql: string, ...parameters: SQLInputValue[]) =>
    onDatabase("read a record", () => db.prepare(sql).all(...parameters));

  /** Null for a record that cannot be read. */
  const read = <T>(schema: z.ZodType<T>, table: ListedTable, row: unknown): T | null => {
    const { seq, record } = rowSchema.parse(row);
    try {
      return schema.parse(JSON.parse(record));
    } catch (thrown) {
      const place = `${table} ${seq}`;
      if (!toldOf.has(place)) {
        onUnreadable(
          `row ${seq} of the table ${quote(table)} in ${quote(path)} cannot be read, and is left out: ` +
            `${quote(record.slice(0, 60))}: ${reasonOf(thrown)}`,
        );
      }
      toldOf.add(place);
      return null;
    }
  };

  const select = <T>(
    schema: z.ZodType<T>,
    table: ListedTable,
    tail: string,
    ...parameters: SQLInputValue[]
  ): T[] =>
    rows(`SELECT seq, record FROM ${table} ${tail}`, ...parameters).map((row) => read(schema, table, row))
      .filter((item) => item !== null);

  const selectEvents = (tail: string, ...parameters: SQLInputValue[]): JobEvent[] =>
    rows(`SELECT seq, record FROM events ${tail}`, ...parameters).map((row) => {
      const { seq, record } = rowSchema.parse(row);
      return jobEventSchema.parse({ ...z.looseObject({}).parse(JSON.parse(record)), number: seq });
    });

  const placeOf = (table: ListedTable, id: string): number => {
    const found = db.prepare(
      `SELECT seq FROM ${table} WHERE id = ?1 UNION ALL SELECT seq FROM deleted WHERE kind = ?2 AND id = ?1`,
    ).get(id, table);
    if (found === undefined) throw unknownPlace(id);
    return placeSchema.parse(found).seq;
  };

  /** What is deleted keeps its place. */
  const remove = (table: ListedTable, { sql, parameters }: Condition): boolean =>
    transaction(() => {
      db.prepare(
        `INSERT OR REPLACE INTO deleted (kind, id, seq) SELECT ?, id, seq FROM ${table} WHERE ${sql}`,
      )
        .run(table, ...parameters);
      return db.prepare(`DELETE FROM ${table} WHERE ${sql}`).run(...parameters).changes > 0;
    });

  /** `narrow` are conditions on the table, each with its parameters. */
  const page = <T>(
    schema: z.ZodType<T>,
    table: ListedTable,
    narrow: readonly Condition[],
    query: PageQuery,
  ): Page<T> => {
    const ascending = query.order === "asc";
    const conditions = narrow.map(({ sql }) => sql);
    const parameters: SQLInputValue[] = narrow.flatMap((condition) => condition.parameters);
    if (query.after !== null) {
      conditions.push(`seq ${ascending ? ">" : "<"} ?`);
      parameters.push(placeOf(table, query.after));
    }
    const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
    const found = rows(
      `SELECT seq, record FROM ${table} ${where} ORDER BY seq ${ascending ? "ASC" : "DESC"} LIMIT ?`,
      ...parameters,
      query.limit + 1,
    );
    const items = found.slice(0, query.limit).map((row) => read(schema, table, row));
    return { items: items.filter((item) => item !== null), hasMore: found.length > query.limit };
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
    job: (id) => select(jobRecordSchema, "jobs", "WHERE id = ?", id)[0] ?? null,
    jobs: ({ metadata, ...query }) =>
      page(jobRecordSchema, "jobs", metadata === undefined ? [] : metadataConditions(metadata), query),
    unfinishedJobs: () => select(jobRecordSchema, "jobs", "WHERE finished = 0 ORDER BY seq"),

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
    checkpoints: (jobId, query) =>
      page(checkpointRecordSchema, "checkpoints", [{ sql: "job_id = ?", parameters: [jobId] }], query),
    deleteCheckpoints(jobId) {
      remove("checkpoints", { sql: "job_id = ?", parameters: [jobId] });
    },

    putFile(file) {
      write(
        `INSERT INTO files (id, purpose, record) VALUES (?1, ?2, ?3)
          ON CONFLICT (id) DO UPDATE SET purpose = ?2, record = ?3`,
        file.id,
        file.purpose,
        JSON.stringify(file),
      );
    },
    file: (id) => select(fileRecordSchema, "files", "WHERE id = ?", id)[0] ?? null,
    files: ({ purpose, ...query }) => {
      const narrow = purpose === null ? [] : [{ sql: "purpose = ?", parameters: [purpose] }];
      return page(fileRecordSchema, "files", narrow, query);
    },
    deleteFile: (id) => remove("files", { sql: "id = ?", parameters: [id] }),
    // Stored anew, as it is: a page of the file goes through the log and to the disk like any record.
    probe: () => onDatabase("store a record", () => db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`)),
    close: () => db.close(),
  };
}

function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof z.ZodError)) return messageOf(thrown);
  const { path, message } = thrown.issues[0]!;
  return `${path.join(".")}: ${message}`;
}

function open(path: string): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    if (path !== ":memory:") {
      mkdirSync(dirname(path), { recursive: true, mode: PRIVATE_FOLDER_MODE });
      createPrivateFile(path);
    }
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
    db.exec(DELETED_TABLE);
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
