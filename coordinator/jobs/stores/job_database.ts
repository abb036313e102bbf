/** The coordinator's database: its tables by version, and the lock that keeps a second coordinator out. */
import type { DatabaseSync } from "node:sqlite";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import { migrate, type Migration } from "../../storage/migrations.ts";
import { openPrivateDatabase } from "../../storage/sqlite.ts";

/**
 * Version n is reached by the n-th. Never changed once released: fixtures of each version lie in testdata/. A record's new
 * field counts as a version too, because earlier releases refuse fields that they do not know.
 */
export const JOB_MIGRATIONS: readonly Migration[] = [
  `CREATE TABLE jobs (
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
  ) STRICT;`,
  // 0.2 added two tables without a version: the positions of deleted items in their lists, and requests for jobs that may be
  // repeated, by their key. Then who owns a file, and its size for the owner's quota.
  `CREATE TABLE IF NOT EXISTS deleted (kind TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (kind, id))
    STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS requests (key TEXT PRIMARY KEY, body_sha256 TEXT NOT NULL, job_id TEXT NOT NULL)
    STRICT, WITHOUT ROWID;
  ALTER TABLE files ADD COLUMN owner TEXT;
  ALTER TABLE files ADD COLUMN size INTEGER;
  CREATE INDEX files_by_owner ON files (owner) WHERE owner IS NOT NULL;`,
];
export const SCHEMA_VERSION = JOB_MIGRATIONS.length;

/**
 * Opens the database at `path`, or creates it, and locks it until it is closed. Throws `conflict` if
 * another process holds it, `storage` if it cannot be opened or a newer lorafleet wrote it.
 * @param onMigrated receives the versions before and after, unless the database is new
 */
export function openJobDatabase(
  path: string,
  onMigrated: (from: number, to: number) => void = () => {},
): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    db = openPrivateDatabase(path);
    // One coordinator per data folder: it holds this lock until it ends.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    db.exec("BEGIN EXCLUSIVE; COMMIT");
    const from = migrate(db, path, JOB_MIGRATIONS);
    if (from > 0 && from < SCHEMA_VERSION) onMigrated(from, SCHEMA_VERSION);
    return db;
  } catch (thrown) {
    db?.close();
    if (thrown instanceof LoraFleetError) throw thrown;
    const message = messageOf(thrown);
    // "Locking protocol": two processes opened it at the same moment.
    if (/locked|locking/.test(message)) {
      const message = `cannot open ${quote(path)}: another coordinator uses it; stop that one, or choose a ` +
        "different --data-folder";
      throw new LoraFleetError("conflict", message, { param: "data-folder", cause: thrown });
    }
    const why = `cannot open ${quote(path)}: ${message}`;
    throw new LoraFleetError("storage", why, { param: "data-folder", cause: thrown });
  }
}
