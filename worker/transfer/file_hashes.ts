/** Checking a base model's files against its manifest: each by size and SHA-256, read once for each version of a file. */
import { createHash } from "node:crypto";
import { dirname, join } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";

export type ManifestFile = ModelManifest["files"][number];

const knownSchema = z.record(
  z.string(),
  z.object({ size: z.int(), modifiedMs: z.number(), sha256: z.string() }),
);
type Known = z.output<typeof knownSchema>;

/** The SHA-256 of files, remembered by path, size and time of modification, so that a restart does not read gigabytes again. */
export interface HashCache {
  /**
   * What is wrong with the file at `path`, where it should be `file`; null where it is right.
   * Rejects with the signal's reason, and with code `storage` where the file cannot be read.
   */
  problem(path: string, file: ManifestFile, signal: AbortSignal): Promise<string | null>;
  /** Remembers a file that has just been written and hashed. */
  remember(path: string, sha256: string): Promise<void>;
}

/** Several workers of a machine may share the file; what one of them overwrites is read again. */
export function createHashCache(cachePath: string): HashCache {
  let loaded: Promise<Known> | null = null;

  async function load(): Promise<Known> {
    // A cache that cannot be read costs a second look at the files, nothing else.
    const text = await Deno.readTextFile(cachePath).catch(() => "{}");
    try {
      return knownSchema.parse(JSON.parse(text));
    } catch {
      return {};
    }
  }

  async function remember(path: string, sha256: string): Promise<void> {
    const known = await (loaded ??= load());
    const part = `${cachePath}.${crypto.randomUUID()}.part`;
    try {
      const { size, mtime } = await Deno.stat(path);
      known[path] = { size, modifiedMs: mtime?.getTime() ?? 0, sha256 };
      await Deno.mkdir(dirname(cachePath), { recursive: true });
      await Deno.writeTextFile(part, JSON.stringify(known));
      await Deno.rename(part, cachePath);
    } catch {
      // It was only to save time.
      await Deno.remove(part).catch(() => {});
    }
  }

  async function problem(path: string, file: ManifestFile, signal: AbortSignal): Promise<string | null> {
    const known = await (loaded ??= load());
    let stat: Deno.FileInfo;
    try {
      stat = await Deno.stat(path);
    } catch (thrown) {
      if (thrown instanceof Deno.errors.NotFound) return `${quote(file.name)} is missing`;
      throw unreadable(path, thrown);
    }
    if (stat.size !== file.size) {
      return `${quote(file.name)} has ${stat.size} bytes, the base model's has ${file.size}`;
    }
    const entry = known[path];
    const isKnown = entry?.size === stat.size && entry.modifiedMs === (stat.mtime?.getTime() ?? 0);
    const sha256 = isKnown ? entry.sha256 : await hashOf(path, signal);
    if (!isKnown) await remember(path, sha256);
    return sha256 === file.sha256
      ? null
      : `${quote(file.name)} has the SHA-256 ${sha256}, the base model's has ${file.sha256}`;
  }

  return { problem, remember };
}

/** What is wrong with a folder that should hold all files of the manifest; null where nothing is. */
export async function folderProblem(
  hashes: HashCache,
  folder: string,
  files: readonly ManifestFile[],
  signal: AbortSignal,
): Promise<string | null> {
  for (const file of files) {
    const problem = await hashes.problem(join(folder, file.name), file, signal);
    if (problem !== null) return problem;
  }
  return null;
}

/** Whether the folder holds anything besides the manifest's files. */
export async function hasOtherFiles(folder: string, files: readonly ManifestFile[]): Promise<boolean> {
  for await (const { name } of Deno.readDir(folder)) {
    if (!files.some((file) => file.name === name)) return true;
  }
  return false;
}

/** SHA-256 of a file, in hexadecimal. Rejects with the signal's reason, or with code `storage`. */
export async function hashOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of (await Deno.open(path)).readable) {
      signal.throwIfAborted();
      hash.update(chunk);
    }
  } catch (thrown) {
    signal.throwIfAborted();
    throw unreadable(path, thrown);
  }
  return hash.digest("hex");
}

function unreadable(path: string, thrown: unknown): LoraFleetError {
  return new LoraFleetError("storage", `cannot read ${quote(path)}: ${messageOf(thrown)}`, {
    param: path,
    cause: thrown,
  });
}
