/**
 * A consistent copy of a data folder in a folder of its own, made while the coordinator works. Files that never change are
 * linked, which costs neither time nor space; databases are copied by SQLite; the rest, which is small, is copied.
 *
 * The files are linked before and after the databases are copied: whatever a record in the copy names was there before, or
 * there afterwards, unless it came and went in between.
 */
import { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { checkpointRecordSchema, fileRecordSchema } from "../../jobs/stores/job_store.ts";
import { versionOf } from "../../storage/migrations.ts";
import { PRIVATE_FOLDER_MODE } from "../../storage/private_folder.ts";
import { layoutOf } from "../layout.ts";
import { type BackupHead, DATABASE_NAMES, type DatabaseName, LEFT_OUT } from "./format.ts";

/** Files in these are written once, under a different name, and never changed. */
const LINKED = ["files", "artifacts", "exports"];
/** Unfinished ones. */
const IN_MOTION = /(?:\.part|\.partial|\.new|\.tmp)$|^incoming$/;
/** What lies beside a database while it is open. */
const SIDE_FILE = /\.sqlite(?:-wal|-shm|-journal)?$/;
const MAX_TRIES = 3;

export interface SnapshotSource {
  readonly dataFolder: string;
  /** Copies each database into a file. */
  readonly copyDatabase: (name: DatabaseName, path: string) => Promise<void>;
}

export interface Snapshot {
  readonly folder: string;
  readonly head: Omit<BackupHead, "created_at">;
  /** Recorded files that are not there, in the data folder either. */
  readonly missing: readonly string[];
}

/** Fills `folder`, which is new and on the same disk. Throws `storage`. */
export async function takeSnapshot(source: SnapshotSource, folder: string): Promise<Snapshot> {
  try {
    await Deno.mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER_MODE });
    const layout = await layoutOf(source.dataFolder);
    let missing: string[] = [];
    let versions = {};
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      await linkAll(source.dataFolder, folder);
      versions = await copyDatabases(source, folder);
      await linkAll(source.dataFolder, folder);
      missing = await missingIn(folder);
      if (missing.length === 0) break;
    }
    await copyRest(source.dataFolder, folder);
    return { folder, missing, head: { format: 1, layout, databases: versions } };
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) throw thrown;
    throw new LoraFleetError("storage", `cannot copy the data folder: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

async function copyDatabases(
  { copyDatabase }: SnapshotSource,
  folder: string,
): Promise<Record<string, number>> {
  const versions: Record<string, number> = {};
  for (const name of DATABASE_NAMES) {
    const path = `${folder}/${name}`;
    await removeIfThere(path);
    await copyDatabase(name, path);
    using db = new DatabaseSync(path);
    // One file, which needs nothing beside it.
    db.exec("PRAGMA journal_mode = DELETE");
    versions[name] = versionOf(db);
  }
  return versions;
}

async function linkAll(dataFolder: string, folder: string): Promise<void> {
  for (const name of LINKED) await linkTree(`${dataFolder}/${name}`, `${folder}/${name}`);
}

async function linkTree(from: string, to: string): Promise<void> {
  const entries = await Array.fromAsync(Deno.readDir(from)).catch(ignoreMissing) ?? [];
  await Deno.mkdir(to, { recursive: true, mode: PRIVATE_FOLDER_MODE });
  for (const { name, isFile, isDirectory } of entries) {
    if (IN_MOTION.test(name)) continue;
    if (isDirectory) await linkTree(`${from}/${name}`, `${to}/${name}`);
    else if (isFile) await linkFile(`${from}/${name}`, `${to}/${name}`);
  }
}

async function linkFile(from: string, to: string): Promise<void> {
  // A newer file may have taken the place since the last pass.
  await removeIfThere(to);
  try {
    await Deno.link(from, to);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return;
    // A disk without links.
    await Deno.copyFile(from, to).catch(ignoreMissing);
  }
}

/** Everything that nobody has thought of too. */
async function copyRest(dataFolder: string, folder: string): Promise<void> {
  for await (const { name, isFile, isDirectory } of Deno.readDir(dataFolder)) {
    if (LEFT_OUT.includes(name) || LINKED.includes(name) || IN_MOTION.test(name) || SIDE_FILE.test(name)) {
      continue;
    }
    if (isDirectory) await copyTree(`${dataFolder}/${name}`, `${folder}/${name}`);
    else if (isFile) await Deno.copyFile(`${dataFolder}/${name}`, `${folder}/${name}`).catch(ignoreMissing);
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  const entries = await Array.fromAsync(Deno.readDir(from)).catch(ignoreMissing) ?? [];
  await Deno.mkdir(to, { recursive: true, mode: PRIVATE_FOLDER_MODE });
  for (const { name, isFile, isDirectory } of entries) {
    if (IN_MOTION.test(name)) continue;
    if (isDirectory) await copyTree(`${from}/${name}`, `${to}/${name}`);
    else if (isFile) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`).catch(ignoreMissing);
  }
}

/** What records name and the copy does not have. */
async function missingIn(folder: string): Promise<string[]> {
  const paths: string[] = [];
  {
    using db = new DatabaseSync(`${folder}/coordinator.sqlite`);
    for (const record of recordsOf(db, "files")) {
      const file = fileRecordSchema.safeParse(record).data;
      if (file?.artifact === null) paths.push(`files/${file.id}`);
    }
    for (const record of recordsOf(db, "checkpoints")) {
      const checkpoint = checkpointRecordSchema.safeParse(record).data;
      for (const { name } of checkpoint?.files ?? []) {
        paths.push(`artifacts/${checkpoint!.jobId}/${checkpoint!.step}/${name}`);
      }
    }
  }
  const missing: string[] = [];
  for (const path of paths) {
    if (await Deno.stat(`${folder}/${path}`).catch(ignoreMissing) === undefined) missing.push(path);
  }
  return missing;
}

function recordsOf(db: DatabaseSync, table: string): unknown[] {
  const rows = z.array(z.object({ record: z.string() })).parse(
    db.prepare(`SELECT record FROM ${table}`).all(),
  );
  return rows.flatMap(({ record }) => {
    try {
      return [JSON.parse(record)];
    } catch {
      return [];
    }
  });
}

async function removeIfThere(path: string): Promise<void> {
  await Deno.remove(path).catch(ignoreMissing);
}

/** Files come and go while a coordinator works. */
function ignoreMissing(thrown: unknown): undefined {
  if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
}
