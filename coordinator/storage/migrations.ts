/**
 * Versions of a database: each migration leads from one version to the next, in one transaction with the number, so one that
 * is interrupted has not happened and is done again. A new database goes through all of them.
 */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { LoraFleetError, quote } from "../../shared/errors.ts";

/** SQL, or what SQL cannot say. */
export type Migration = string | ((db: DatabaseSync) => void);

/**
 * Brings the database to version `migrations.length`; the caller holds its lock. Returns the version that it had. Throws
 * `storage` if a newer lorafleet wrote it.
 * @param path for the message
 */
export function migrate(db: DatabaseSync, path: string, migrations: readonly Migration[]): number {
  const found = versionOf(db);
  if (found > migrations.length) throw newerThanCode(path, found, migrations.length);
  for (let version = found; version < migrations.length; version++) {
    db.exec("BEGIN IMMEDIATE");
    try {
      const migration = migrations[version]!;
      if (typeof migration === "string") db.exec(migration);
      else migration(db);
      db.exec(`PRAGMA user_version = ${version + 1}`);
      db.exec("COMMIT");
    } catch (thrown) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw thrown;
    }
  }
  return found;
}

/** 0 for a new one. */
export function versionOf(db: DatabaseSync): number {
  const row = db.prepare("SELECT user_version AS version FROM pragma_user_version").get();
  return z.object({ version: z.int() }).parse(row).version;
}

/** The error of everything that a newer release has written. */
export function newerThanCode(path: string, found: number, known: number): LoraFleetError {
  const message =
    `cannot open ${quote(path)}: it has version ${found}, and this lorafleet reads versions up to ` +
    `${known}: start the newer lorafleet that wrote it, or restore a backup from before the upgrade`;
  return new LoraFleetError("storage", message, { param: "data-folder" });
}
