/**
 * Pushes a folder to a repository as one commit. Nothing is sent twice: files that the repository has are left out, and large
 * ones that an earlier push sent are in the hub's storage, so that a push that was killed goes on where it stopped.
 */
import { commit, type CommitParams } from "@huggingface/hub";
import { createHash } from "node:crypto";
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";
import type { HubProgress } from "./download_repo.ts";
import { FileBlob } from "./file_blob.ts";
import { type OpenTarget, openTarget, pushError, type PushTarget } from "./push_target.ts";
import { listFiles, type RepoFile } from "./repo_files.ts";
import { isCommit, type RepoName } from "./repo_name.ts";
import { askJson, type HubOptions, Retries } from "./requests.ts";
import { CommitFailure, uploadFetch } from "./upload_fetch.ts";

export interface PushOptions {
  readonly hub: HubOptions;
  /** The commit's title. */
  readonly title: string;
}

export interface Pushed {
  readonly repo: string;
  readonly branch: string;
  readonly url: string;
  /** The newest one, if the repository had all files already. */
  readonly commit: string;
  readonly isNew: boolean;
  readonly isPrivate: boolean;
  /** Files of this push; the others were there. */
  readonly files: readonly string[];
}

interface LocalFile {
  readonly path: string;
  readonly blob: FileBlob;
}

/** The hub takes at most so many files in a commit of this kind. */
const MAX_FILES = 1000;

/**
 * Throws `unauthorized`, `invalid_request`, `not_found`, `timeout` (the hub does not answer), `storage`, or the signal's
 * reason.
 */
export async function pushFolder(
  folder: string,
  target: PushTarget,
  { hub, title }: PushOptions,
  onProgress: (progress: HubProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<Pushed> {
  const files = await filesBelow(folder);
  const opened = await openTarget(target, hub, signal);
  const retries = new Retries(hub);
  for (;;) {
    try {
      return await pushOnce(files, opened, { hub, title }, onProgress, signal);
    } catch (thrown) {
      const last = thrown instanceof CommitFailure ? thrown.cause : thrown;
      // Other requests were repeated by themselves.
      if (!(thrown instanceof CommitFailure)) throw pushError(last, opened.name.repo, hub, signal);
      await retries.failed(last, signal).catch((final) => {
        throw pushError(final, opened.name.repo, hub, signal);
      });
    }
  }
}

async function pushOnce(
  files: readonly LocalFile[],
  { name, isNew, isPrivate }: OpenTarget,
  { hub, title }: PushOptions,
  onProgress: (progress: HubProgress) => void,
  signal: AbortSignal | undefined,
): Promise<Pushed> {
  const head = await headOf(name, hub, signal);
  const remote = (await listFiles(name, head, hub, { isDeep: true, ...withSignal(signal) })).files;
  const changed: LocalFile[] = [];
  for (const file of files) if (!await isThere(file, remote.get(file.path))) changed.push(file);
  const pushed = {
    ...{ repo: name.repo, branch: name.revision, isNew, isPrivate },
    url: `${hub.endpoint}/${name.repo}`,
    files: changed.map(({ path }) => path),
  };
  if (changed.length === 0) return { ...pushed, commit: head };
  const totalBytes = changed.reduce((sum, { blob }) => sum + blob.size, 0);
  let sent = 0;
  onProgress({ path: changed[0]!.path, doneBytes: 0, totalBytes });
  const fetch = uploadFetch(hub, signal, (bytes) => {
    sent += bytes;
    onProgress({ path: name.repo, doneBytes: Math.min(sent, totalBytes - 1), totalBytes });
  });
  const output = await commit(commitParams(name.repo, name.revision, title, changed, hub, fetch, signal));
  onProgress({ path: name.repo, doneBytes: totalBytes, totalBytes });
  return { ...pushed, commit: output?.commit.oid ?? head };
}

/** The branch's newest commit. */
async function headOf({ repo, revision }: RepoName, hub: HubOptions, signal?: AbortSignal): Promise<string> {
  const { body } = await askJson(hub, `api/models/${repo}/revision/${encodeURIComponent(revision)}`, signal);
  return z.object({ sha: z.string().refine(isCommit) }).parse(body).sha;
}

function commitParams(
  repo: string,
  branch: string,
  title: string,
  files: readonly LocalFile[],
  hub: HubOptions,
  fetch: typeof globalThis.fetch,
  signal: AbortSignal | undefined,
): CommitParams {
  return {
    ...{ repo: { type: "model", name: repo }, branch, title, fetch },
    operations: files.map(({ path, blob }) => ({ operation: "addOrUpdate", path, content: blob })),
    hubUrl: hub.endpoint,
    ...(hub.token === null ? {} : { accessToken: hub.token }),
    useXet: false,
    ...(signal === undefined ? {} : { abortSignal: signal }),
  };
}

const withSignal = (signal: AbortSignal | undefined) => signal === undefined ? {} : { signal };

/** Only a file of the same size is worth hashing. */
async function isThere({ blob }: LocalFile, remote: RepoFile | undefined): Promise<boolean> {
  if (remote === undefined || remote.size !== blob.size) return false;
  const hash = remote.sha256 === null
    ? createHash("sha1").update(`blob ${blob.size}\0`)
    : createHash("sha256");
  for await (const chunk of blob.stream()) hash.update(chunk);
  return hash.digest("hex") === remote.etag;
}

/** Without hidden files. Throws `storage`. */
async function filesBelow(folder: string): Promise<readonly LocalFile[]> {
  const files: LocalFile[] = [];
  const walk = async (prefix: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(`${folder}/${prefix}`)) {
      if (name.startsWith(".")) continue;
      if (isDirectory) await walk(`${prefix}${name}/`);
      else files.push({ path: prefix + name, blob: await FileBlob.open(`${folder}/${prefix}${name}`) });
    }
  };
  try {
    await walk("");
  } catch (cause) {
    throw new LoraFleetError("storage", `cannot read ${quote(folder)} to push it`, { cause });
  }
  if (files.length === 0 || files.length > MAX_FILES) {
    const message = `${quote(folder)} has ${files.length} files; 1 to ${MAX_FILES} are pushed`;
    throw new LoraFleetError("invalid_request", message);
  }
  return files.sort((a, b) => a.path < b.path ? -1 : 1);
}
