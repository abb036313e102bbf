/**
 * The rows of datasets that were prepared before, in a folder: hundreds of jobs on one file prepare it once, and a job that
 * waits keeps nothing in memory. What is damaged counts as absent; what was not used for longest goes first.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../../shared/clock.ts";
import { removeUnfinishedFiles, writeStreamedFile } from "../../storage/streamed_file.ts";
import {
  type DatasetReport,
  encodePrepared,
  type PreparedRows,
  readPrepared,
  readReport,
} from "./prepared_file.ts";

/** As much as the largest uploads of a dozen jobs take. */
const MAX_CACHE_BYTES = 8 * 2 ** 30;

export interface PreparedCache {
  /** Null where there is none. */
  report(key: string): Promise<DatasetReport | null>;
  /** As `report`, and keeps the rows as if they were used now. */
  touch(key: string): Promise<DatasetReport | null>;
  /** Null where there is none, or it is damaged: then it is removed. */
  load(key: string): Promise<PreparedRows | null>;
  /** Where the preparation of this key is to write its file. */
  pathOf(key: string): string;
  /** Removes what was not used for longest, until the rest is within the bound; never what `key` has. */
  trim(key: string): Promise<void>;
  /** Removes all of it but `key`: the disk is full. */
  clear(key: string): Promise<void>;
}

interface PreparedCacheOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly maxBytes?: number;
}

const SUFFIX = ".rows";

/** Makes the folder, readable by its owner alone, and removes what an earlier process left half-written. */
export async function openPreparedCache(options: PreparedCacheOptions): Promise<PreparedCache> {
  const { folder, clock, maxBytes = MAX_CACHE_BYTES } = options;
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  await removeUnfinishedFiles(folder);
  const pathOf = (key: string) => `${folder}/${fileNameOf(key)}`;

  const removeAllBut = async (key: string, bytes: number) => {
    const entries = (await entriesOf(folder)).toSorted((a, b) => b.usedAt - a.usedAt);
    let kept = 0;
    for (const { name, size } of entries) {
      if (name === fileNameOf(key) || kept + size <= bytes) kept += size;
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
      const path = pathOf(key);
      const prepared = await withFile(
        path,
        async (file) => await readPrepared(key, (await file.stat()).size, readerOf(file)),
      );
      if (prepared === null) await Deno.remove(path).catch(() => {});
      else await use(key);
      return prepared;
    },
    trim: (key) => removeAllBut(key, maxBytes),
    clear: (key) => removeAllBut(key, 0),
  };
}

/**
 * Writes what `openPreparedCache` reads, whole or not at all. Throws a `LoraFleetError` with code `storage`.
 * @param path as `pathOf` gave it
 */
export async function writePrepared(path: string, key: string, prepared: PreparedRows): Promise<void> {
  await writeStreamedFile(path, ReadableStream.from(encodePrepared(key, prepared)), {
    maxBytes: Number.MAX_SAFE_INTEGER,
    open: (part) => Deno.open(part, { write: true, createNew: true, mode: 0o600 }),
  });
}

/** Keys are long and hold paths' characters: files are named by their hash. */
function fileNameOf(key: string): string {
  return createHash("sha256").update(key).digest("hex") + SUFFIX;
}

const readerOf = (file: Deno.FsFile) => async (buffer: Uint8Array) => await file.read(buffer) ?? 0;

/** Null where the file is not there or cannot be read: it costs another preparation, nothing else. */
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
