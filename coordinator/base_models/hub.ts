/**
 * Base models from a Hugging Face hub, into the cache folder that all its tools share: `blobs/<etag>`, linked from
 * `snapshots/<commit>/<name>`, with `refs/<revision>` holding the commit.
 *
 * The download itself is `@huggingface/hub`'s; that it is whole, checked against the hub's SHA-256 and written by
 * rename is ours, because the package's own download into the cache does neither.
 */
import { downloadFile, HubApiError, listFiles, modelInfo } from "@huggingface/hub";
import { basename, dirname, relative } from "@std/path";
import { type Clock, systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { isNamedTemplate, TEMPLATE_FOLDER } from "../../shared/data/tokenizer/files/named_templates.ts";
import type { HubSettings } from "../../shared/model/hub_settings.ts";
import { boundedFetch } from "./bounded_fetch.ts";
import type { ResponseBounds } from "./bounded_fetch.ts";
import { createConfinedFetch } from "./confined_fetch.ts";
import { isSmallFile, selectModelFiles } from "./files.ts";
import { writeStreamedFile } from "../storage/streamed_file.ts";
import { unstalledFetch } from "./stalled_fetch.ts";

export interface HubOptions extends HubSettings {
  /** `HF_HUB_CACHE`. */
  readonly cacheFolder: string;
  readonly clock?: Clock;
}

export interface HubName {
  /** `org/name`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

/** A hub that is silent for so long will not answer: who creates a job waits for it, and jobs behind it for their turn. */
const STALL_MS = 30_000;
const LARGEST_FILE_BYTES = 2 ** 40;
/** What a hub says of a model; that of the largest repositories has some megabytes. */
const METADATA_BOUNDS: ResponseBounds = { maxBytes: 32 * 2 ** 20, maxResponses: 1000 };
/** Beside a file itself: what the package asks before it, and a server's words about a redirect. */
const DOWNLOAD_OVERHEAD_BYTES = 2 ** 20;
const MAX_DOWNLOAD_RESPONSES = 100_000;

/** Reads `org/name` or `org/name@revision`; null where it is something else. */
export function parseHubName(model: string): HubName | null {
  const match = /^([A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?:@([A-Za-z0-9][\w.-]{0,99}))?$/.exec(
    model,
  );
  if (match === null || model.includes("..")) return null;
  return { repo: match[1]!, revision: match[2] ?? "main" };
}

/** The hub's cache as its tools lay it out. */
const SNAPSHOT = /\/models--([\w.-]+?)--([\w.-]+)\/snapshots\/[0-9a-f]{40}\/?$/;

/** The `org/name` whose snapshot a folder is; null where it is none. */
export function hubRepoOf(folder: string): string | null {
  const [, owner, name] = SNAPSHOT.exec(folder) ?? [];
  return owner === undefined ? null : `${owner}/${name}`;
}

/** The commit behind a name. Throws a `LoraFleetError` with code `model_not_found` that says what the hub answered. */
export async function findHubCommit(name: HubName, hub: HubOptions, signal?: AbortSignal): Promise<string> {
  if (hub.offline) {
    const cached = await cachedCommit(name, hub);
    if (cached !== null) return cached;
    throw notFound(name, hub, "it is not in the cache, and HF_HUB_OFFLINE is set");
  }
  try {
    const info = await modelInfo({
      ...access(hub, signal),
      name: name.repo,
      revision: name.revision,
      additionalFields: ["sha"],
    });
    if (!/^[0-9a-f]{40}$/.test(info.sha)) throw new Error(`its answer has no commit, but ${quote(info.sha)}`);
    return info.sha;
  } catch (thrown) {
    signal?.throwIfAborted();
    if (!(thrown instanceof HubApiError)) {
      // The hub cannot be reached: what is in the cache is good enough.
      const cached = await cachedCommit(name, hub);
      if (cached !== null) return cached;
      throw notFound(name, hub, messageOf(thrown), thrown);
    }
    const rights = hub.token === null
      ? "no HF_TOKEN is set, so that private and gated models stay hidden"
      : "HF_TOKEN was sent";
    throw notFound(name, hub, `status ${thrown.statusCode}; ${rights}`, thrown);
  }
}

/**
 * Downloads what training needs and the cache lacks, and returns the snapshot's folder.
 *
 * Throws a `LoraFleetError`: `model_not_found`, `invalid_model` (no config or weights), `corrupt` (a file is not what
 * the hub announced), `storage`; and what `signal` was aborted with.
 */
export async function downloadFromHub(
  name: HubName,
  hub: HubOptions,
  onFile: (file: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const commit = await findHubCommit(name, hub, signal);
  const repoFolder = repoFolderOf(name, hub);
  const folder = `${repoFolder}/snapshots/${commit}`;
  if (hub.offline) return folder;

  const entries = new Map<string, { size: number; etag: string; sha256: string | null }>();
  const list = async (path: string): Promise<void> => {
    const files = listFiles({ ...access(hub, signal), repo: name.repo, revision: commit, path });
    for await (const entry of files) {
      if (entry.type === "directory" && entry.path === TEMPLATE_FOLDER) await list(entry.path);
      const etag = entry.lfs?.oid ?? entry.oid;
      if (entry.type === "file" && etag !== undefined) {
        entries.set(entry.path, { size: entry.size, etag, sha256: entry.lfs?.oid ?? null });
      }
    }
  };
  try {
    await list("");
  } catch (thrown) {
    signal?.throwIfAborted();
    if (!(thrown instanceof HubApiError) && await isThere(folder)) return folder;
    throw notFound(name, hub, messageOf(thrown), thrown);
  }

  const fetchFile = async (file: string): Promise<string> => {
    const { size, etag, sha256 } = entries.get(file)!;
    const link = `${folder}/${file}`;
    if (await isThere(link)) return link;
    if (!/^[\w-]+$/.test(etag)) {
      throw new LoraFleetError("corrupt", `the hub gives ${quote(file)} the id ${quote(etag)}`);
    }
    const blobPath = `${repoFolder}/blobs/${etag}`;
    if (!await isThere(blobPath)) {
      onFile(file);
      const maxBytes = size + DOWNLOAD_OVERHEAD_BYTES;
      const blob = await downloadFile({
        ...access(hub, signal, { maxBytes, maxResponses: MAX_DOWNLOAD_RESPONSES }),
        repo: name.repo,
        revision: commit,
        path: file,
      });
      if (blob === null) throw notFound(name, hub, `it lists ${quote(file)} and does not have it`);
      await writeStreamedFile(blobPath, checked(blob, size, file), {
        maxBytes: LARGEST_FILE_BYTES,
        isPublic: true,
        ...(sha256 === null ? {} : { expectedSha256: sha256 }),
      });
    }
    await Deno.mkdir(dirname(link), { recursive: true });
    await Deno.symlink(relative(dirname(link), blobPath), link).catch((thrown) => {
      if (!(thrown instanceof Deno.errors.AlreadyExists)) throw thrown;
    });
    return link;
  };

  const files = await selectModelFiles(
    [...entries.keys()],
    async () => await Deno.readTextFile(await fetchFile("model.safetensors.index.json")),
  );
  // Small files first: a config that is refused later should not cost a download of the weights twice.
  const sorted = files.toSorted((a, b) => Number(isSmallFile(b)) - Number(isSmallFile(a)));
  // Templates are for the coordinator, which prepares the rows; workers do without.
  for (const file of [...[...entries.keys()].filter(isNamedTemplate), ...sorted]) {
    try {
      await fetchFile(file);
    } catch (thrown) {
      signal?.throwIfAborted();
      if (thrown instanceof LoraFleetError) throw thrown;
      throw new LoraFleetError(
        "model_not_found",
        `cannot download ${quote(file)} of ${quote(name.repo)} from ${hub.endpoint}: ${messageOf(thrown)}`,
        { param: "model", cause: thrown },
      );
    }
  }
  if (name.revision !== commit) {
    const bytes = new TextEncoder().encode(commit);
    await writeStreamedFile(`${repoFolder}/refs/${name.revision}`, ReadableStream.from([bytes]), {
      maxBytes: 40,
      isPublic: true,
    });
  }
  return folder;
}

/** A truncated body must not become a file: outside LFS there is no SHA-256, so that the size is the check. */
async function* checked(blob: Blob, size: number, file: string): AsyncGenerator<Uint8Array> {
  let arrived = 0;
  for await (const chunk of blob.stream()) {
    arrived += chunk.byteLength;
    // More than was announced could fill the disk.
    if (arrived > size) break;
    yield chunk;
  }
  if (arrived !== size) {
    throw new LoraFleetError(
      "corrupt",
      `${quote(file)} has ${size} bytes on the hub, but ${arrived}${
        arrived > size ? " or more" : ""
      } arrived`,
    );
  }
}

function access(hub: HubOptions, signal?: AbortSignal, bounds: ResponseBounds = METADATA_BOUNDS) {
  const { endpoint, clock = systemClock } = hub;
  const unstalled = unstalledFetch(fetch, { clock, stallMs: STALL_MS });
  const confined = boundedFetch(createConfinedFetch({ endpoint, fetch: unstalled }), bounds);
  const fetchWithSignal: typeof fetch = (input, init) =>
    confined(input, signal === undefined ? init : { ...init, signal });
  return {
    hubUrl: hub.endpoint,
    fetch: fetchWithSignal,
    ...(hub.token === null ? {} : { accessToken: hub.token }),
  };
}

function repoFolderOf(name: HubName, hub: HubOptions): string {
  return `${hub.cacheFolder}/models--${name.repo.replace("/", "--")}`;
}

async function cachedCommit(name: HubName, hub: HubOptions): Promise<string | null> {
  const repoFolder = repoFolderOf(name, hub);
  const commit = /^[0-9a-f]{40}$/.test(name.revision)
    ? name.revision
    : (await Deno.readTextFile(`${repoFolder}/refs/${basename(name.revision)}`).catch(() => "")).trim();
  return commit !== "" && await isThere(`${repoFolder}/snapshots/${commit}/config.json`) ? commit : null;
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

function notFound(name: HubName, hub: HubOptions, why: string, cause?: unknown): LoraFleetError {
  return new LoraFleetError(
    "model_not_found",
    `no base model ${quote(name.repo)} at revision ${quote(name.revision)} on ${hub.endpoint}: ${why}`,
    { param: "model", cause },
  );
}
