/** The databases of a data folder that no coordinator uses, for a backup; nothing is migrated. */
import { DatabaseSync } from "node:sqlite";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import { copyDatabase } from "../../storage/copy_database.ts";
import { newerThanCode, versionOf } from "../../storage/migrations.ts";
import { type DatabaseName, DATABASES } from "./format.ts";
import type { SnapshotSource } from "./snapshot.ts";

export interface OfflineFolder extends SnapshotSource, Disposable {}

/** Locks the folder until it is disposed. Throws `conflict` if a coordinator uses it, `not_found`, `storage`. */
export async function openOffline(dataFolder: string): Promise<OfflineFolder> {
  const path = `${dataFolder}/coordinator.sqlite`;
  await Deno.stat(path).catch((cause) => {
    const message = `${quote(dataFolder)} is not a data folder: ${messageOf(cause)}`;
    throw new LoraFleetError("not_found", message, { param: "data-folder", cause });
  });
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT");
    const [version, known] = [versionOf(db), DATABASES["coordinator.sqlite"]];
    if (version > known) throw newerThanCode(path, version, known);
  } catch (thrown) {
    db.close();
    if (thrown instanceof LoraFleetError) throw thrown;
    if (!/locked|locking/.test(messageOf(thrown))) {
      throw new LoraFleetError("storage", `cannot open ${quote(path)}: ${messageOf(thrown)}`, {
        cause: thrown,
      });
    }
    const message = `a coordinator uses ${quote(dataFolder)}`;
    throw new LoraFleetError("conflict", message, { param: "data-folder", cause: thrown });
  }
  return {
    dataFolder,
    async copyDatabase(name: DatabaseName, target) {
      if (name === "coordinator.sqlite") return await copyDatabase(db, target);
      using other = new DatabaseSync(`${dataFolder}/${name}`);
      await copyDatabase(other, target);
    },
    [Symbol.dispose]: () => db.close(),
  };
}
