/** Compares a base model's files with its manifest, each by size and SHA-256. */
import { join } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { HashCache } from "../../shared/model/hash_cache.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";

export type ManifestFile = ModelManifest["files"][number];

/**
 * How the file at `path` differs from `file`; null if it is the same. Rejects with the signal's reason, or with code `storage` if
 * the file cannot be read.
 */
export async function fileProblem(
  hashes: HashCache,
  path: string,
  file: ManifestFile,
  signal: AbortSignal,
): Promise<string | null> {
  let size: number;
  try {
    size = (await Deno.stat(path)).size;
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return `${quote(file.name)} is missing`;
    const message = `cannot read ${quote(path)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { cause: thrown });
  }
  if (size !== file.size) return `${quote(file.name)} has ${size} bytes, the base model's has ${file.size}`;
  const { sha256 } = await hashes.hash(path, signal);
  if (sha256 === file.sha256) return null;
  return `${quote(file.name)} has the SHA-256 ${sha256}, the base model's has ${file.sha256}`;
}

/** The first problem of a folder that should hold all files of the manifest; null if there is none. */
export async function folderProblem(
  hashes: HashCache,
  folder: string,
  files: readonly ManifestFile[],
  signal: AbortSignal,
): Promise<string | null> {
  for (const file of files) {
    const problem = await fileProblem(hashes, join(folder, file.name), file, signal);
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
