/** Downloads files of a repository into the shared cache, with progress over all of them. */
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { exists, linkBlob, lockBlob, recordRevision, repoFolderOf, snapshotFolderOf } from "./cache.ts";
import { downloadBlob, keptBytes } from "./download_blob.ts";
import { assertFreeSpace } from "./free_space.ts";
import { explain, repoError } from "./hub_error.ts";
import { findCommit, listFiles, type RepoFile } from "./repo_files.ts";
import type { RepoName } from "./repo_name.ts";
import { readTree, writeTree } from "./tree_cache.ts";
import type { HubOptions } from "./requests.ts";

/** Of one call of `fetch`. */
export interface HubProgress {
  /** The file that is on its way. */
  readonly path: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface DownloadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called often; `paceProgress` thins it out. */
  readonly onProgress?: ((progress: HubProgress) => void) | undefined;
}

/** One commit of a repository, and its folder in the cache. */
export interface OpenRepo {
  readonly name: RepoName;
  readonly commit: string;
  readonly folder: string;
  /** False if the hub is away or off limits: only what the cache holds is there. */
  readonly isOnline: boolean;
  /** Files of a folder and the names of the folders in it; with `isDeep` all files below, for which the cache may do. */
  list(folder?: string, isDeep?: boolean): ReturnType<typeof listFiles>;
  /** Downloads what the cache lacks. Returns the files' paths, in order. */
  fetch(files: readonly RepoFile[], onProgress?: (progress: HubProgress) => void): Promise<readonly string[]>;
  /** Notes in the cache that the revision is this commit: only once what a user needs is there. */
  record(): Promise<void>;
}

/**
 * Resolves the revision. Everything throws `model_not_found` (a dataset: `invalid_request`), `corrupt`, `storage`, or the reason
 * of `signal`.
 */
export async function openRepo(name: RepoName, hub: HubOptions, signal?: AbortSignal): Promise<OpenRepo> {
  const { commit, isFromHub } = await findCommit(name, hub, signal);
  const folder = snapshotFolderOf(name, commit, hub);
  return {
    ...{ name, commit, folder, isOnline: isFromHub },
    async list(folder = "", isDeep = false) {
      const isWhole = folder === "" && isDeep;
      const cached = isWhole ? await readTree(name, commit, hub) : null;
      if (cached !== null) return { files: cached, folders: [] };
      try {
        if (hub.offline) throw new Error("the cache has no list of them, and HF_HUB_OFFLINE is set");
        const limits = { folder, isDeep, ...(signal === undefined ? {} : { signal }) };
        const listed = await listFiles(name, commit, hub, limits);
        if (isWhole) await writeTree(name, commit, hub, listed.files);
        return listed;
      } catch (thrown) {
        throw explained(thrown, name, hub, signal, "cannot list the files");
      }
    },
    fetch: (files, onProgress) => fetchFiles({ name, hub, commit, folder, signal }, files, onProgress),
    record: () => recordRevision(name, commit, hub),
  };
}

interface Snapshot {
  readonly name: RepoName;
  readonly hub: HubOptions;
  readonly commit: string;
  readonly folder: string;
  readonly signal: AbortSignal | undefined;
}

async function fetchFiles(
  snapshot: Snapshot,
  files: readonly RepoFile[],
  onProgress: (progress: HubProgress) => void = () => {},
): Promise<readonly string[]> {
  const missing: RepoFile[] = [];
  for (const file of files) if (!await exists(`${snapshot.folder}/${file.path}`)) missing.push(file);
  if (snapshot.hub.offline && missing.length > 0) {
    const { type, repo } = snapshot.name;
    const message = `${quote(missing[0]!.path)} of ${
      quote(repo)
    } is not in the cache, and HF_HUB_OFFLINE is set`;
    throw repoError(type, message);
  }
  const totalBytes = missing.reduce((sum, { size }) => sum + size, 0);
  await assertFreeSpace(
    snapshot.hub.cacheFolder,
    totalBytes - await keptOf(snapshot, missing),
    () => `downloading ${missing.length} files of ${quote(snapshot.name.repo)}`,
  );
  let before = 0;
  for (const file of missing) {
    await fetchFile(
      snapshot,
      file,
      (bytes) => onProgress({ path: file.path, doneBytes: before + bytes, totalBytes }),
    );
    before += file.size;
    onProgress({ path: file.path, doneBytes: before, totalBytes });
  }
  return files.map(({ path }) => `${snapshot.folder}/${path}`);
}

const blobPathOf = ({ name, hub }: Snapshot, { etag }: RepoFile) =>
  `${repoFolderOf(name, hub)}/blobs/${etag}`;

/** Bytes that need no room any more. */
async function keptOf(snapshot: Snapshot, files: readonly RepoFile[]): Promise<number> {
  let sum = 0;
  for (const file of files) {
    const blobPath = blobPathOf(snapshot, file);
    sum += await exists(blobPath) ? file.size : await keptBytes(blobPath);
  }
  return sum;
}

async function fetchFile(
  snapshot: Snapshot,
  file: RepoFile,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const { name, hub, commit, signal } = snapshot;
  const blobPath = blobPathOf(snapshot, file);
  try {
    if (!await exists(blobPath)) {
      await Deno.mkdir(`${repoFolderOf(name, hub)}/blobs`, { recursive: true });
      using _lock = await lockBlob(name, file.etag, hub, signal);
      // A different process may have had the lock to download the same blob.
      if (!await exists(blobPath)) await downloadBlob({ name, hub, commit, file, blobPath, signal, onBytes });
    }
    await linkBlob(snapshot.folder, file.path, blobPath);
  } catch (thrown) {
    const kept = await keptBytes(blobPath);
    const remains = kept === 0 ? "" : `; ${kept} of ${file.size} bytes are kept for the next try`;
    throw explained(thrown, name, hub, signal, `cannot download ${quote(file.path)}`, remains);
  }
}

function explained(
  thrown: unknown,
  name: RepoName,
  hub: HubOptions,
  signal: AbortSignal | undefined,
  attempt: string,
  more = "",
): LoraFleetError {
  signal?.throwIfAborted();
  if (thrown instanceof LoraFleetError && thrown.code !== "timeout") return thrown;
  const error = explain(thrown, name, hub, attempt);
  return more === "" ? error : repoError(name.type, `${messageOf(error)}${more}`, thrown);
}
