/** The coordinator's database: its tables, its version, and the lock that keeps a second coordinator out. */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import { openPrivateDatabase } from "../../storage/sqlite.ts";

export const SCHEMA_VERSION = 1;
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

/** Since 0.2: the positions of deleted items in their lists. Older versions ignore the table. */
const DELETED_TABLE = `
  CREATE TABLE IF NOT EXISTS deleted (kind TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (kind, id))
    STRICT, WITHOUT ROWID;
`;

/** Since 0.2: requests for jobs that may be repeated, by their key. Older versions ignore the table. */
const REQUESTS_TABLE = `
  CREATE TABLE IF NOT EXISTS requests (key TEXT PRIMARY KEY, body_sha256 TEXT NOT NULL, job_id TEXT NOT NULL)
    STRICT, WITHOUT ROWID;
`;

/**
 * Opens the database at `path`, or creates it, and locks it until it is closed. Throws `conflict` if
 * another process holds it, `storage` if it cannot be opened or has a different version.
 */
export function openJobDatabase(path: string): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    db = openPrivateDatabase(path);
    // One coordinator per data folder: it holds this lock until it ends.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    db.exec("BEGIN EXCLUSIVE");
    const { version } = z.object({ version: z.int() })
      .parse(db.prepare("SELECT user_version AS version FROM pragma_user_version").get());
    if (version === 0) db.exec(SCHEMA);
    else if (version !== SCHEMA_VERSION) {
      const message = `cannot open ${quote(path)}: it has version ${version}; this lorafleet reads version ` +
        `${SCHEMA_VERSION}`;
      throw new LoraFleetError("storage", message);
    }
    db.exec(DELETED_TABLE + REQUESTS_TABLE);
    db.exec("COMMIT");
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
