/** Lists of a commit's files in the cache, as huggingface_hub keeps them: `trees/<commit>.json` never becomes wrong. */
import { z } from "zod";
import { repoFolderOf, writeWhole } from "./cache.ts";
import { asRepoFile, type RepoFile } from "./repo_files.ts";
import type { RepoName } from "./repo_name.ts";
import type { HubOptions } from "./requests.ts";

const VERSION = 1;

const treeSchema = z.object({
  format_version: z.literal(VERSION),
  files: z.record(
    z.string(),
    z.object({
      size: z.int().min(0),
      blob_id: z.string(),
      lfs_sha256: z.string().nullish(),
      lfs_size: z.int().nullish(),
      xet_hash: z.string().nullish(),
    }),
  ),
});

const pathOf = (name: RepoName, commit: string, hub: HubOptions) =>
  `${repoFolderOf(name, hub)}/trees/${commit}.json`;

/** Null if the cache has no list that can be read. */
export async function readTree(
  name: RepoName,
  commit: string,
  hub: HubOptions,
): Promise<ReadonlyMap<string, RepoFile> | null> {
  try {
    const { files } = treeSchema.parse(JSON.parse(await Deno.readTextFile(pathOf(name, commit, hub))));
    return new Map(
      Object.entries(files).map(([path, { size, blob_id, lfs_sha256, xet_hash }]) => [
        path,
        asRepoFile(path, size, { gitId: blob_id, sha256: lfs_sha256 ?? null, xetHash: xet_hash ?? null }),
      ]),
    );
  } catch {
    return null;
  }
}

/** A list that cannot be written costs a request later on, and no more. */
export async function writeTree(
  name: RepoName,
  commit: string,
  hub: HubOptions,
  files: ReadonlyMap<string, RepoFile>,
): Promise<void> {
  const entries = [...files].sort(([a], [b]) => a < b ? -1 : 1).map(([path, file]) => [path, {
    size: file.size,
    blob_id: file.gitId,
    ...(file.sha256 === null ? {} : { lfs_sha256: file.sha256, lfs_size: file.size }),
    ...(file.xetHash === null ? {} : { xet_hash: file.xetHash }),
  }]);
  const tree = { format_version: VERSION, files: Object.fromEntries(entries) };
  await writeWhole(pathOf(name, commit, hub), JSON.stringify(tree, null, 1)).catch(() => {});
}
