/**
 * The exports of all jobs in a folder:
 *
 *     <folder>/<export>.json        the record
 *     <folder>/<export>/            its files, complete
 *     <folder>/<export>.partial/    its files while they are being written
 *     <folder>/<export>.rows.new    the rows on which it is being measured
 */
import { messageOf } from "../../../shared/errors.ts";
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "../../storage/private_folder.ts";
import { type ExportRecord, exportRecordSchema } from "./export_record.ts";

export interface ExportStore {
  /** Oldest first. */
  all(): readonly ExportRecord[];
  get(id: string): ExportRecord | null;
  /** Replaces the record in memory, and on the disk if `isDurable`. Throws `storage`-like errors of the disk. */
  put(record: ExportRecord, isDurable?: boolean): void;
  folderOf(id: string): string;
  partialOf(id: string): string;
  /** Of a file that goes with the export, and at the next start. */
  rowsPathOf(id: string): string;
  /** Creates an empty folder for the files of an export that begins. */
  begin(id: string): Promise<string>;
  /** Makes the files of an export visible. */
  complete(id: string): Promise<void>;
  /** Removes unfinished files. */
  discard(id: string): Promise<void>;
  remove(id: string): Promise<void>;
}

/** Reads all records, removes unfinished files, and files without a record. */
export async function openExportStore(
  folder: string,
  onDefect: (message: string, thrown: unknown) => void,
): Promise<ExportStore> {
  await Deno.mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER_MODE });
  const records = new Map<string, ExportRecord>();
  const recordPath = (id: string) => `${folder}/${id}.json`;
  const folderOf = (id: string) => `${folder}/${id}`;
  const partialOf = (id: string) => `${folder}/${id}.partial`;
  const rowsPathOf = (id: string) => `${folder}/${id}.rows.new`;
  for (const record of await readRecords(folder, onDefect)) records.set(record.id, record);
  await removeLeftovers(folder, records);

  const discard = async (id: string) => {
    await removeIfThere(partialOf(id));
  };

  return {
    all: () => [...records.values()].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)),
    get: (id) => records.get(id) ?? null,
    put(record, isDurable = true) {
      if (isDurable) {
        const path = recordPath(record.id);
        Deno.writeTextFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, {
          mode: PRIVATE_FILE_MODE,
        });
        Deno.renameSync(`${path}.new`, path);
      }
      records.set(record.id, record);
    },
    folderOf,
    partialOf,
    rowsPathOf,
    async begin(id) {
      await discard(id);
      await Deno.mkdir(partialOf(id), { mode: PRIVATE_FOLDER_MODE });
      return partialOf(id);
    },
    async complete(id) {
      await removeIfThere(folderOf(id));
      await Deno.rename(partialOf(id), folderOf(id));
    },
    discard,
    async remove(id) {
      // The record goes first: files without one are removed at the next start.
      records.delete(id);
      await removeIfThere(recordPath(id));
      await removeIfThere(partialOf(id));
      await removeIfThere(rowsPathOf(id));
      await removeIfThere(folderOf(id));
    },
  };
}

async function readRecords(
  folder: string,
  onDefect: (message: string, thrown: unknown) => void,
): Promise<ExportRecord[]> {
  const records: ExportRecord[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (!isFile || !name.endsWith(".json")) continue;
    try {
      records.push(exportRecordSchema.parse(JSON.parse(await Deno.readTextFile(`${folder}/${name}`))));
    } catch (thrown) {
      onDefect(`the export in ${name} cannot be read and is forgotten: ${messageOf(thrown)}`, thrown);
    }
  }
  return records;
}

async function removeLeftovers(folder: string, records: ReadonlyMap<string, ExportRecord>): Promise<void> {
  for (const { name, isDirectory } of await Array.fromAsync(Deno.readDir(folder))) {
    const isKept = isDirectory ? records.get(name)?.status === "succeeded" : !name.endsWith(".new");
    if (!isKept) await removeIfThere(`${folder}/${name}`);
  }
}

async function removeIfThere(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((thrown) => {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
  });
}
