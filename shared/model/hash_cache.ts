/** The SHA-256 of a model's files, computed once for each path, size and modification time. */
import { createHash } from "node:crypto";
import { dirname } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { turnOfEventLoop } from "../std/turn.ts";

export interface HashCache {
  /** Rejects with the signal's reason, or with code `storage` if the file cannot be read. */
  hash(path: string, signal?: AbortSignal): Promise<{ size: number; sha256: string }>;
  /** Remembers a file that has just been written and hashed. */
  remember(path: string, sha256: string): Promise<void>;
}

const entriesSchema = z.record(
  z.string(),
  z.object({ size: z.int(), modifiedMs: z.number(), sha256: z.string() }),
);
type Entries = z.output<typeof entriesSchema>;

/**
 * Keeps the hashes in a JSON file, so that a restart does not read tens of gigabytes again. If the file cannot be read or written,
 * or a second process overwrites an entry, the files are hashed again.
 */
export function createHashCache(cachePath: string): HashCache {
  let loaded: Promise<Entries> | null = null;

  async function remember(path: string, sha256: string, stat?: Deno.FileInfo): Promise<void> {
    const entries = await (loaded ??= load(cachePath));
    const part = `${cachePath}.${crypto.randomUUID()}.part`;
    try {
      entries[path] = { ...versionOf(stat ?? await Deno.stat(path)), sha256 };
      await Deno.mkdir(dirname(cachePath), { recursive: true });
      await Deno.writeTextFile(part, JSON.stringify(entries), { mode: 0o600 });
      await Deno.rename(part, cachePath);
    } catch {
      await Deno.remove(part).catch(() => {});
    }
  }

  async function hash(path: string, signal?: AbortSignal) {
    const entries = await (loaded ??= load(cachePath));
    const stat = await Deno.stat(path).catch((thrown) => Promise.reject(unreadable(path, thrown)));
    const { size, modifiedMs } = versionOf(stat);
    const entry = entries[path];
    if (entry?.size === size && entry.modifiedMs === modifiedMs) return { size, sha256: entry.sha256 };
    const sha256 = await sha256Of(path, signal);
    await remember(path, sha256, stat);
    return { size, sha256 };
  }

  return { hash, remember: (path, sha256) => remember(path, sha256) };
}

async function load(cachePath: string): Promise<Entries> {
  try {
    return entriesSchema.parse(JSON.parse(await Deno.readTextFile(cachePath)));
  } catch {
    return {};
  }
}

function versionOf({ size, mtime }: Deno.FileInfo): { size: number; modifiedMs: number } {
  return { size, modifiedMs: mtime?.getTime() ?? 0 };
}

/** SHA-256 of a file, in hexadecimal. Rejects with the signal's reason, or with code `storage`. */
export async function sha256Of(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of (await Deno.open(path)).readable) {
      signal?.throwIfAborted();
      hash.update(chunk);
      await turnOfEventLoop();
    }
  } catch (thrown) {
    signal?.throwIfAborted();
    throw unreadable(path, thrown);
  }
  return hash.digest("hex");
}

function unreadable(path: string, thrown: unknown): LoraFleetError {
  return new LoraFleetError("storage", `cannot read ${quote(path)}: ${messageOf(thrown)}`, { cause: thrown });
}
