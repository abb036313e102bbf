/** The coordinator's own folder of a base model, if this machine has it too: a shared disk saves the download. */
import { dirname, join } from "@std/path";
import type { HashCache } from "../../shared/model/hash_cache.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import { folderProblem, hasOtherFiles } from "./manifest_check.ts";

/**
 * `folder` itself if it holds the manifest's files and nothing else, or a folder of links to them; null if it does not hold them.
 * Rejects if the files cannot be read or linked.
 */
export async function announcedFolder(
  { hash, files }: ModelManifest,
  folder: string,
  cacheFolder: string,
  hashes: HashCache,
  signal: AbortSignal,
): Promise<string | null> {
  const isThere = await Deno.stat(folder).then(({ isDirectory }) => isDirectory, () => false);
  if (!isThere || await folderProblem(hashes, folder, files, signal) !== null) return null;
  if (!await hasOtherFiles(folder, files)) return folder;
  // Other weights in the folder could be taken for this base model's.
  const links = join(cacheFolder, "links", hash);
  await Deno.mkdir(dirname(links), { recursive: true });
  const fresh = `${links}.${crypto.randomUUID()}`;
  await Deno.mkdir(fresh);
  for (const { name } of files) {
    await Deno.symlink(join(await Deno.realPath(folder), name), join(fresh, name));
  }
  await Deno.remove(links, { recursive: true }).catch(() => {});
  await Deno.rename(fresh, links);
  return links;
}
