/** A copy of an open database, made by SQLite while the database is used. */
import { backup, type DatabaseSync } from "node:sqlite";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";

/** 400 KiB at a time: the process goes on between two turns. */
const PAGES_AT_A_TIME = 100;

/** Writes the database as it is at the end into a new file at `path`. Throws `storage`. */
export async function copyDatabase(db: DatabaseSync, path: string): Promise<void> {
  try {
    await backup(db, path, { rate: PAGES_AT_A_TIME });
  } catch (cause) {
    throw new LoraFleetError("storage", `cannot copy a database: ${messageOf(cause)}`, { cause });
  }
}
