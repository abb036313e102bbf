/** Transactions, and disk errors as `LoraFleetError`s, for the SQLite stores. */
import { dirname } from "@std/path";
import { mkdirSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { createPrivateFile, PRIVATE_FOLDER_MODE } from "./private_folder.ts";

/**
 * Result codes caused by the disk (sqlite.org/rescode.html): READONLY, IOERR, FULL, CANTOPEN, each in the low byte of an
 * extended code.
 */
const DISK_CODES = new Set([8, 10, 13, 14]);
/** `exec` gives no code; these are sqlite3_errstr's texts for the same codes. */
const DISK_MESSAGES =
  /database or disk is full|disk I\/O error|attempt to write a readonly database|unable to open database file/;

/** Whether SQLite reports that the disk failed to read or write. */
function isDiskError(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  const code = "errcode" in thrown ? thrown.errcode : undefined;
  return typeof code === "number" ? DISK_CODES.has(code & 0xff) : DISK_MESSAGES.test(thrown.message);
}

/**
 * Runs `work` on the database. A disk error becomes `storage` with what to do, without a
 * path, because clients of the API read it.
 */
export function onDatabase<T>(attempted: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof LoraFleetError || !isDiskError(thrown)) throw thrown;
    const message = `cannot ${attempted} in the coordinator's data folder: ${messageOf(thrown)}; make room ` +
      "on its disk, and try again";
    throw new LoraFleetError("storage", message, { cause: thrown });
  }
}

/** Opens a database, or creates it readable by its owner alone; ":memory:" has no file. */
export function openPrivateDatabase(path: string): DatabaseSync {
  if (path !== ":memory:") {
    mkdirSync(dirname(path), { recursive: true, mode: PRIVATE_FOLDER_MODE });
    createPrivateFile(path);
  }
  return new DatabaseSync(path);
}

/** Runs `work` as one transaction: all of it is stored or nothing. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  return onDatabase("store a record", () => {
    db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      db.exec("COMMIT");
      return result;
    } catch (thrown) {
      // SQLite ends the transaction itself if the disk is full (sqlite.org/lang_transaction.html, section 3).
      if (db.isTransaction) db.exec("ROLLBACK");
      throw thrown;
    }
  });
}
