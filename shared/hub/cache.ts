/**
 * The cache that all tools of a hub share: `<type>s--org--name/blobs/<etag>`, linked from `snapshots/<commit>/<path>`, with
 * `refs/<revision>` holding the commit, and a lock for each blob under `.locks`.
 */
import { dirname, relative } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { cacheNameOf, isCommit, type RepoName } from "./repo_name.ts";
import { clockOf, type HubOptions } from "./requests.ts";

const LOCK_POLL_MS = 500;
const TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag.\n";

export function repoFolderOf(name: RepoName, hub: HubOptions): string {
  return `${hub.cacheFolder}/${cacheNameOf(name)}`;
}

export function snapshotFolderOf(name: RepoName, commit: string, hub: HubOptions): string {
  return `${repoFolderOf(name, hub)}/snapshots/${commit}`;
}

export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** The newest commit of the revision that the cache has files of; null if there is none. */
export async function cachedCommit(name: RepoName, hub: HubOptions): Promise<string | null> {
  const recorded = () =>
    Deno.readTextFile(`${repoFolderOf(name, hub)}/refs/${name.revision}`).catch(() => "");
  const commit = isCommit(name.revision) ? name.revision : (await recorded()).trim();
  return isCommit(commit) && await exists(snapshotFolderOf(name, commit, hub)) ? commit : null;
}

export async function recordRevision(name: RepoName, commit: string, hub: HubOptions): Promise<void> {
  if (name.revision === commit) return;
  const path = `${repoFolderOf(name, hub)}/refs/${name.revision}`;
  await onDisk(path, () => writeWhole(path, commit));
}

/** Links a file of a snapshot to its blob. Returns the link's path. */
export async function linkBlob(snapshotFolder: string, path: string, blobPath: string): Promise<string> {
  const link = `${snapshotFolder}/${path}`;
  return await onDisk(link, async () => {
    await Deno.mkdir(dirname(link), { recursive: true });
    if (await exists(link)) return link;
    // A link to a blob that was deleted.
    await Deno.remove(link).catch(() => {});
    await Deno.symlink(relative(dirname(link), blobPath), link).catch((thrown) => {
      if (!(thrown instanceof Deno.errors.AlreadyExists)) throw thrown;
    });
    return link;
  });
}

/** The blob's lock, which Python's tools take as well. A process that ends releases it, however it ends. */
export async function lockBlob(
  name: RepoName,
  etag: string,
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<Disposable> {
  const path = `${hub.cacheFolder}/.locks/${cacheNameOf(name)}/${etag}.lock`;
  const file = await onDisk(path, async () => {
    await Deno.mkdir(dirname(path), { recursive: true });
    await tagCache(hub.cacheFolder);
    return await Deno.open(path, { create: true, write: true });
  });
  try {
    while (!await file.tryLock(true)) await clockOf(hub).sleep(LOCK_POLL_MS, signal);
  } catch (thrown) {
    file.close();
    throw thrown;
  }
  return file;
}

/** Tells backups to skip the folder. */
async function tagCache(folder: string): Promise<void> {
  const path = `${folder}/CACHEDIR.TAG`;
  if (!await exists(path)) await Deno.writeTextFile(path, TAG).catch(() => {});
}

/** Through a temporary file, so that no reader sees a part. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const part = `${path}.${crypto.randomUUID()}`;
  try {
    await Deno.writeTextFile(part, text);
    await Deno.rename(part, path);
  } finally {
    await Deno.remove(part).catch(() => {});
  }
}

/** Failures of the disk as `storage`. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) throw thrown;
    const message = `cannot write ${quote(path)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { param: path, cause: thrown });
  }
}
