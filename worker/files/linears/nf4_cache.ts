/**
 * Base models in NF4 on this machine's disk, a folder for each: the second start of a worker reads a quarter of the bytes and
 * quantises nothing. A folder is named by what decides its bits: the contents of the model's files and the form of quantisation.
 */
import { join } from "@std/path";
import { messageOf, quote } from "../../../shared/errors.ts";
import { freeBytes } from "../../../shared/hub/free_space.ts";
import { formatBytes } from "../../../shared/memory/format_bytes.ts";
import { NF4_CACHE_VERSION, type Nf4CacheEntry } from "./nf4_cache_file.ts";

export interface Nf4CacheSettings {
  /** Holds the folders of all models. */
  readonly folder: string;
  /** Of all models together; those that were not used for longest go first. */
  readonly maxBytes: number;
}

export interface Nf4CacheRequest {
  /** Names the contents of the base model's files: 64 hexadecimal digits. */
  readonly source: string;
  readonly doubleQuantization: boolean;
  /** What the model takes there. */
  readonly bytes: number;
}

export interface Nf4Cache {
  /** This model's. */
  readonly folder: string;
  entryOf(tensor: string): Nf4CacheEntry;
}

/** Left free on the disk, for checkpoints and everything else: as much as the model takes, up to this. */
const RESERVE_BYTES = 2 * 2 ** 30;
/** Its time of modification is that of the model's last use. */
const USED = "used";
/** Nothing else in the cache's folder is ever removed. */
const MODEL_FOLDER = /^[0-9a-f]{32}-nf4(-double)?-\d+$/;
const HOUR_MS = 3_600_000;

/** Makes room and the model's folder. A model that has no room there has `cache` null, and `why`. */
export async function openNf4Cache(
  settings: Nf4CacheSettings,
  request: Nf4CacheRequest,
  free: (folder: string) => Promise<number | null> = freeBytes,
): Promise<{ readonly cache: Nf4Cache } | { readonly cache: null; readonly why: string }> {
  const { source, doubleQuantization, bytes } = request;
  const form = doubleQuantization ? "nf4-double" : "nf4";
  const name = `${source.slice(0, 32)}-${form}-${NF4_CACHE_VERSION}`;
  const folder = join(settings.folder, name);
  try {
    await Deno.mkdir(folder, { recursive: true });
    // On a full or read-only disk what is there can be used all the same.
    const used = await touch(join(folder, USED)).catch(() => 0);
    await removePartials(folder, used);
    const room = await makeRoom(settings, name, bytes, free);
    if (room !== null) {
      await removeIfUnused(folder);
      return { cache: null, why: room };
    }
  } catch (thrown) {
    return { cache: null, why: `${quote(folder)}: ${messageOf(thrown)}` };
  }
  const entryOf = (tensor: string) => ({
    ...{ source, tensor },
    path: join(folder, `${encodeURIComponent(tensor)}.nf4`),
  });
  return { cache: { folder, entryOf } };
}

async function touch(path: string): Promise<number> {
  await Deno.writeTextFile(path, "");
  return (await Deno.stat(path)).mtime?.getTime() ?? 0;
}

/** A folder with weights is another worker's, whose limit is higher, or an earlier run's: it keeps its time of use. */
async function removeIfUnused(folder: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) if (name !== USED) return;
  await Deno.remove(join(folder, USED)).catch(() => {});
  await Deno.remove(folder).catch(() => {}); // unless it holds something after all
}

/** What killed processes left; a file that is being written is younger. */
async function removePartials(folder: string, nowMs: number): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".partial")) continue;
    const path = join(folder, name);
    const written = (await Deno.stat(path).catch(() => null))?.mtime?.getTime() ?? nowMs;
    if (written < nowMs - HOUR_MS) await Deno.remove(path).catch(() => {});
  }
}

interface Kept {
  readonly name: string;
  readonly bytes: number;
  readonly usedMs: number;
}

/** Removes models, the longest unused first, until this one fits. @returns why it does not, or null */
async function makeRoom(
  { folder, maxBytes }: Nf4CacheSettings,
  own: string,
  needed: number,
  free: (folder: string) => Promise<number | null>,
): Promise<string | null> {
  if (needed > maxBytes) {
    return `the base model takes ${formatBytes(needed)} there, and ${
      formatBytes(maxBytes)
    } are allowed (--quantized-cache-gib)`;
  }
  const kept: Kept[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.isDirectory || !MODEL_FOLDER.test(entry.name)) continue;
    kept.push({ name: entry.name, ...await measure(join(folder, entry.name)) });
  }
  const mine = kept.find(({ name }) => name === own)?.bytes ?? 0;
  const others = kept.filter(({ name }) => name !== own).sort((a, b) => a.usedMs - b.usedMs);
  let total = needed + others.reduce((sum, { bytes }) => sum + bytes, 0);
  const reserve = Math.min(RESERVE_BYTES, needed);
  const lacking = async () => mine >= needed ? 0 : needed - mine + reserve - (await free(folder) ?? Infinity);
  if (await lacking() > total - needed) {
    const [has, needs] = [await free(folder) ?? 0, needed - mine].map(formatBytes);
    return `the disk has ${has} free, and ${needs} are needed beside ${
      formatBytes(reserve)
    } for everything else`;
  }
  while (others.length > 0 && (total > maxBytes || await lacking() > 0)) {
    const { name, bytes } = others.shift()!;
    await Deno.remove(join(folder, name), { recursive: true }).catch(unlessGone);
    total -= bytes;
  }
  return null;
}

/** Bytes of a model's files, and when it was last used: never, if a process was killed before it said so. */
async function measure(folder: string): Promise<{ bytes: number; usedMs: number }> {
  let [bytes, usedMs] = [0, 0];
  for (const { name } of await Array.fromAsync(Deno.readDir(folder)).catch(unlessGone) ?? []) {
    const stat = await Deno.stat(join(folder, name)).catch(() => null);
    bytes += stat?.size ?? 0;
    if (name === USED) usedMs = stat?.mtime?.getTime() ?? 0;
  }
  return { bytes, usedMs };
}

/** Another worker that makes room at the same time removes the same. */
function unlessGone(thrown: unknown): void {
  if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
}
