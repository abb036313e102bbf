/** What a hub says about a repository: the commit of a revision, and the files of a commit. */
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";
import { explain, HubRefusal, repoError } from "./hub_error.ts";
import { cachedCommit } from "./cache.ts";
import { apiPathOf, isCommit, pathOf, type RepoName } from "./repo_name.ts";
import { ask, askJson, hubFetch, type HubOptions } from "./requests.ts";
import { HASTY } from "./retry_delay.ts";

/** A file as the hub lists it. */
export interface RepoFile {
  readonly path: string;
  readonly size: number;
  /** Its blob's name in the cache: the SHA-256 if it is in LFS, else git's id. */
  readonly etag: string;
  /** Null outside LFS, where git's id is the checksum. */
  readonly sha256: string | null;
  /** Git's id of the blob; in LFS of the pointer. */
  readonly gitId: string;
  /** Null if the file is not in xet's storage. */
  readonly xetHash: string | null;
}

const infoSchema = z.object({ sha: z.string(), gated: z.unknown() });
const entrySchema = z.object({
  type: z.string(),
  path: z.string(),
  size: z.int().min(0).default(0),
  oid: z.string().optional(),
  lfs: z.object({ oid: z.string() }).optional(),
  xetHash: z.string().nullish(),
});

/** A commit, and whether the hub itself named it; else the cache did, because the hub is away or off limits. */
export interface FoundCommit {
  readonly commit: string;
  readonly isFromHub: boolean;
}

/** Throws `model_not_found`, or `invalid_request` for a dataset, that says what the hub says. */
export async function findCommit(
  name: RepoName,
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<FoundCommit> {
  if (hub.offline) {
    const commit = await cachedCommit(name, hub);
    if (commit !== null) return { commit, isFromHub: false };
    throw explain(new Error("it is not in the cache, and HF_HUB_OFFLINE is set"), name, hub);
  }
  const cached = await cachedCommit(name, hub);
  // A commit never changes, so the hub need not be asked.
  if (cached !== null && cached === name.revision) return { commit: cached, isFromHub: true };
  try {
    const path = `${apiPathOf(name)}/revision/${encodeURIComponent(name.revision)}`;
    // With a copy in the cache, a hub that is away is not waited for.
    const patient = cached === null ? hub : { ...hub, patience: { ...hub.patience, ...HASTY } };
    const { body } = await askJson(patient, path, signal);
    const { data } = infoSchema.safeParse(body);
    if (data === undefined || !isCommit(data.sha)) {
      throw new Error(`its answer has no commit, but ${quote(data?.sha)}`);
    }
    const isGated = data.gated !== undefined && data.gated !== null && data.gated !== false;
    if (isGated && name.type === "model") await assertReadable(name, data.sha, hub, signal);
    return { commit: data.sha, isFromHub: true };
  } catch (thrown) {
    signal?.throwIfAborted();
    const isRefused = thrown instanceof HubRefusal && thrown.status < 500 && thrown.status !== 429;
    if (!isRefused && cached !== null) return { commit: cached, isFromHub: false };
    throw explain(thrown, name, hub);
  }
}

/** Metadata of gated models are open, their files are not. */
async function assertReadable(
  name: RepoName,
  commit: string,
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<void> {
  const path = `${pathOf(name)}/resolve/${commit}/config.json`;
  const response = await ask(hub, path, { method: "HEAD", ...(signal === undefined ? {} : { signal }) });
  await response.body?.cancel();
}

/**
 * The files of a folder of a commit, by path; with `isDeep` of all folders below it. Throws like `findCommit`, and a
 * `HubRefusal` with code EntryNotFound if there is no such folder.
 */
export async function listFiles(
  name: RepoName,
  commit: string,
  hub: HubOptions,
  { folder = "", isDeep = false, signal }: { folder?: string; isDeep?: boolean; signal?: AbortSignal } = {},
): Promise<{ readonly files: ReadonlyMap<string, RepoFile>; readonly folders: readonly string[] }> {
  const files = new Map<string, RepoFile>();
  const folders: string[] = [];
  const fetch = hubFetch(hub);
  const below = folder === "" ? "" : `/${folder.split("/").map(encodeURIComponent).join("/")}`;
  let next: string | null = `${apiPathOf(name)}/tree/${commit}${below}${isDeep ? "?recursive=true" : ""}`;
  while (next !== null) {
    const { body, headers } = await askJson(hub, next, signal, fetch);
    const entries = z.array(entrySchema).safeParse(body);
    if (!entries.success) throw repoError(name.type, `${hub.endpoint} lists no files of ${quote(name.repo)}`);
    for (const { type, path, size, oid, lfs, xetHash } of entries.data) {
      if (type === "directory") folders.push(path);
      if (type !== "file" || oid === undefined) continue;
      files.set(
        path,
        asRepoFile(path, size, { gitId: oid, sha256: lfs?.oid ?? null, xetHash: xetHash ?? null }),
      );
    }
    next = nextPage(headers, hub);
  }
  return { files, folders };
}

/** Names become paths on our disk, so none may lead out of their folder. */
export function asRepoFile(
  path: string,
  size: number,
  ids: Pick<RepoFile, "gitId" | "sha256" | "xetHash">,
): RepoFile {
  const parts = path.split("/");
  const isSound = parts.every((part) => part !== "" && part !== "." && part !== "..") && !/[\\\0]/.test(path);
  const etag = ids.sha256 ?? ids.gitId;
  if (isSound && /^[\w-]+$/.test(etag)) return { path, size, etag, ...ids };
  throw new LoraFleetError("corrupt", `the hub lists a file ${quote(path)} with the id ${quote(etag)}`);
}

/** The next page has to be at the same hub: the token goes along. */
function nextPage(headers: Headers, hub: HubOptions): string | null {
  const [, link] = /<([^>]+)>;\s*rel="next"/.exec(headers.get("link") ?? "") ?? [];
  if (link === undefined) return null;
  const url = new URL(link, hub.endpoint);
  if (url.origin === new URL(hub.endpoint).origin) return url.href;
  throw new LoraFleetError("invalid_request", `${hub.endpoint} continues its list at ${quote(url.origin)}`);
}
