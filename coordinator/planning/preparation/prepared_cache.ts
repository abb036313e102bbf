/**
 * A folder of prepared datasets: hundreds of jobs on one file prepare it once, and a waiting job keeps nothing in memory. Damaged
 * files count as absent; the least recently used are removed first, those that a job reads never.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../../shared/clock.ts";
import { removeUnfinishedFiles, writeStreamedFile } from "../../storage/streamed_file.ts";
import {
  type DatasetReport,
  encodePrepared,
  type PreparedRows,
  type PreparedStream,
  readPrepared,
  readReport,
  rowsOfFile,
} from "./prepared_file.ts";

/** Room for the largest uploads of a dozen jobs. */
const MAX_CACHE_BYTES = 8 * 2 ** 30;

export interface PreparedCache {
  /** Null if there is none. */
  report(key: string): Promise<DatasetReport | null>;
  /** As `report`, and marks the rows as used now. */
  touch(key: string): Promise<DatasetReport | null>;
  /** Null if there is none, or if it is damaged: then it is removed. The file stays open until the rows are disposed of. */
  load(key: string): Promise<LoadedRows | null>;
  /** Where the preparation of this key writes its file. */
  pathOf(key: string): string;
  /** Removes the least recently used files, but not that of `key`, until the rest is within the bound. */
  trim(key: string): Promise<void>;
  /** Removes all files but that of `key`, and those that are open. */
  clear(key: string): Promise<void>;
}

export interface LoadedRows extends PreparedRows, Disposable {
  /** Aborted with its error when a read fails. */
  readonly lost: AbortSignal;
}

const SUFFIX = ".rows";

/** Creates the folder, readable by its owner alone, and removes files that an earlier process left unfinished. */
export async function openPreparedCache(
  folder: string,
  clock: Clock,
  maxBytes = MAX_CACHE_BYTES,
): Promise<PreparedCache> {
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  await removeUnfinishedFiles(folder);
  const pathOf = (key: string) => `${folder}/${fileNameOf(key)}`;

  /** Of each file that is open; a key more than once if several jobs read it. */
  let open: readonly string[] = [];

  const removeAllBut = async (key: string, bytes: number) => {
    const entries = (await entriesOf(folder)).toSorted((a, b) => b.usedAt - a.usedAt);
    const isNeeded = (name: string) => [key, ...open].some((needed) => name === fileNameOf(needed));
    let kept = 0;
    for (const { name, size } of entries) {
      if (isNeeded(name) || kept + size <= bytes) kept += size;
      else await Deno.remove(`${folder}/${name}`).catch(() => {});
    }
  };

  const use = (key: string) =>
    Deno.utime(pathOf(key), new Date(clock.now()), new Date(clock.now())).catch(() => {});
  const report = (key: string) => withFile(pathOf(key), (file) => readReport(key, readerOf(file)));

  return {
    pathOf,
    report,
    async touch(key) {
      const found = await report(key);
      if (found !== null) await use(key);
      return found;
    },
    async load(key) {
      const file = await Deno.open(pathOf(key)).catch(() => null);
      if (file === null) return null;
      const index = await file.stat().then(({ size }) => readPrepared(key, size, readerOf(file))).catch(() =>
        null
      );
      if (index === null) {
        file.close();
        await Deno.remove(pathOf(key)).catch(() => {});
        return null;
      }
      await use(key);
      open = [...open, key];
      let isOpen = true;
      const losing = new AbortController();
      return {
        report: index.report,
        rows: rowsOfFile(
          index,
          (position, buffer) => readAt(file, position, buffer),
          (error) => losing.abort(error),
        ),
        lost: losing.signal,
        [Symbol.dispose]() {
          if (!isOpen) return;
          isOpen = false;
          open = open.toSpliced(open.indexOf(key), 1);
          file.close();
        },
      };
    },
    trim: (key) => removeAllBut(key, maxBytes),
    clear: (key) => removeAllBut(key, 0),
  };
}

/** Writes the file at `path` (from `pathOf`) whole or not at all. Throws a `LoraFleetError` with code `storage`. */
export async function writePrepared(path: string, key: string, prepared: PreparedStream): Promise<void> {
  await writeStreamedFile(path, ReadableStream.from(encodePrepared(key, prepared)), {
    maxBytes: Number.MAX_SAFE_INTEGER,
    open: (part) => Deno.open(part, { write: true, createNew: true, mode: 0o600 }),
  });
}

/** Keys are too long for file names, and contain characters of paths. */
function fileNameOf(key: string): string {
  return createHash("sha256").update(key).digest("hex") + SUFFIX;
}

const readerOf = (file: Deno.FsFile) => async (buffer: Uint8Array) => await file.read(buffer) ?? 0;

/** In one go: two readers of one file must not move each other's position. */
function readAt(file: Deno.FsFile, position: number, buffer: Uint8Array): void {
  file.seekSync(position, Deno.SeekMode.Start);
  for (let at = 0; at < buffer.length;) {
    const count = file.readSync(buffer.subarray(at));
    if (count === null) throw new Error("it is shorter than it was");
    at += count;
  }
}

/** Null if the file is absent or unreadable, which only costs a new preparation. */
async function withFile<T>(path: string, body: (file: Deno.FsFile) => Promise<T | null>): Promise<T | null> {
  try {
    using file = await Deno.open(path);
    return await body(file);
  } catch {
    return null;
  }
}

async function entriesOf(folder: string) {
  const entries: { readonly name: string; readonly size: number; readonly usedAt: number }[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(SUFFIX)) continue;
    const stat = await Deno.stat(`${folder}/${name}`).catch(() => null);
    if (stat !== null) entries.push({ name, size: stat.size, usedAt: stat.mtime?.getTime() ?? 0 });
  }
  return entries;
}
