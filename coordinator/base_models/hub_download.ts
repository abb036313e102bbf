/**
 * Downloads base models from a Hugging Face hub into the cache that all its tools share: `blobs/<etag>`, linked from
 * `snapshots/<commit>/<name>`, with `refs/<revision>` holding the commit.
 * @huggingface/hub fetches the bytes. Checking their size and SHA-256 and renaming complete files into place happens here,
 * because the package's own download into the cache does neither.
 */
import { downloadFile, HubApiError, listFiles } from "@huggingface/hub";
import { dirname, relative } from "@std/path";
import { isNamedTemplate, TEMPLATE_FOLDER } from "../../shared/data/tokenizer/files/named_templates.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { writeStreamedFile } from "../storage/streamed_file.ts";
import { isSmallFile, selectModelFiles } from "./files.ts";
import { exists, findHubCommit, hubAccess, type HubOptions, notOnHub, repoFolderOf } from "./hub_api.ts";
import type { HubName } from "./hub_name.ts";

const MAX_FILE_BYTES = 2 ** 40;
/** Besides the file itself: the package's requests before it, and the bodies of redirects. */
const DOWNLOAD_OVERHEAD_BYTES = 2 ** 20;
const MAX_DOWNLOAD_RESPONSES = 100_000;

/** One commit of a repository and where its files go. */
interface Snapshot {
  readonly name: HubName;
  readonly hub: HubOptions;
  readonly commit: string;
  readonly repoFolder: string;
  readonly folder: string;
  readonly signal: AbortSignal | undefined;
  /** Called before each file that has to be downloaded. */
  readonly onFile: (file: string) => void;
}

/** A file as the hub lists it; `sha256` is null outside LFS. */
interface HubFile {
  readonly size: number;
  readonly etag: string;
  readonly sha256: string | null;
}

/**
 * Downloads the files that training needs and the cache lacks. Returns the snapshot's folder. Throws `model_not_found`,
 * `invalid_model` (no config or weights), `corrupt` (a file differs from what the hub announced), `storage`; and the reason
 * of `signal`.
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
  const snapshot: Snapshot = { name, hub, commit, repoFolder, folder, signal, onFile };
  let listed: ReadonlyMap<string, HubFile>;
  try {
    listed = await listSnapshot(snapshot);
  } catch (thrown) {
    signal?.throwIfAborted();
    if (!(thrown instanceof HubApiError) && await exists(folder)) return folder;
    throw notOnHub(name, hub, messageOf(thrown), thrown);
  }
  const fetchFile = (file: string) => fetchIntoCache(snapshot, file, listed.get(file)!);
  const needed = await selectModelFiles(
    [...listed.keys()],
    async () => await Deno.readTextFile(await fetchFile("model.safetensors.index.json")),
  );
  // Small files first: a config that is refused must not cost a download of the weights.
  const sorted = needed.toSorted((a, b) => Number(isSmallFile(b)) - Number(isSmallFile(a)));
  // Named templates are for the coordinator, which prepares the rows; workers do not need them.
  for (const file of [...[...listed.keys()].filter(isNamedTemplate), ...sorted]) {
    await fetchFile(file).catch((thrown) => {
      signal?.throwIfAborted();
      throw thrown instanceof LoraFleetError ? thrown : downloadFailed(snapshot, file, thrown);
    });
  }
  await recordRevision(snapshot);
  return folder;
}

async function listSnapshot({ name, hub, commit, signal }: Snapshot): Promise<ReadonlyMap<string, HubFile>> {
  const listed = new Map<string, HubFile>();
  const list = async (path: string): Promise<void> => {
    const files = listFiles({ ...hubAccess(hub, signal), repo: name.repo, revision: commit, path });
    for await (const entry of files) {
      if (entry.type === "directory" && entry.path === TEMPLATE_FOLDER) await list(entry.path);
      const etag = entry.lfs?.oid ?? entry.oid;
      if (entry.type === "file" && etag !== undefined) {
        listed.set(entry.path, { size: entry.size, etag, sha256: entry.lfs?.oid ?? null });
      }
    }
  };
  await list("");
  return listed;
}

/** Returns the path of the link in the snapshot. */
async function fetchIntoCache(snapshot: Snapshot, file: string, hubFile: HubFile): Promise<string> {
  const link = `${snapshot.folder}/${file}`;
  if (await exists(link)) return link;
  if (!/^[\w-]+$/.test(hubFile.etag)) {
    throw new LoraFleetError("corrupt", `the hub gives ${quote(file)} the id ${quote(hubFile.etag)}`);
  }
  const blobPath = `${snapshot.repoFolder}/blobs/${hubFile.etag}`;
  if (!await exists(blobPath)) await downloadBlob(snapshot, file, hubFile, blobPath);
  await Deno.mkdir(dirname(link), { recursive: true });
  await Deno.symlink(relative(dirname(link), blobPath), link).catch((thrown) => {
    if (!(thrown instanceof Deno.errors.AlreadyExists)) throw thrown;
  });
  return link;
}

async function downloadBlob(
  { name, hub, commit, signal, onFile }: Snapshot,
  file: string,
  { size, sha256 }: HubFile,
  blobPath: string,
): Promise<void> {
  onFile(file);
  const bounds = { maxBytes: size + DOWNLOAD_OVERHEAD_BYTES, maxResponses: MAX_DOWNLOAD_RESPONSES };
  const access = hubAccess(hub, signal, bounds);
  const blob = await downloadFile({ ...access, repo: name.repo, revision: commit, path: file });
  if (blob === null) throw notOnHub(name, hub, `it lists ${quote(file)} and does not have it`);
  await writeStreamedFile(blobPath, checked(blob, size, file), {
    maxBytes: MAX_FILE_BYTES,
    isPublic: true,
    ...(sha256 === null ? {} : { expectedSha256: sha256 }),
  });
}

async function recordRevision({ name, commit, repoFolder }: Snapshot): Promise<void> {
  if (name.revision === commit) return;
  const bytes = new TextEncoder().encode(commit);
  await writeStreamedFile(`${repoFolder}/refs/${name.revision}`, ReadableStream.from([bytes]), {
    maxBytes: 40,
    isPublic: true,
  });
}

/** Refuses a body of the wrong size: files outside LFS have no SHA-256, so the size is the only check. */
async function* checked(blob: Blob, size: number, file: string): AsyncGenerator<Uint8Array> {
  let arrived = 0;
  for await (const chunk of blob.stream()) {
    arrived += chunk.byteLength;
    // A body longer than announced could fill the disk.
    if (arrived > size) break;
    yield chunk;
  }
  if (arrived !== size) {
    const message = `${quote(file)} has ${size} bytes on the hub, but ` +
      `${arrived}${arrived > size ? " or more" : ""} arrived`;
    throw new LoraFleetError("corrupt", message);
  }
}

function downloadFailed({ name, hub }: Snapshot, file: string, thrown: unknown): LoraFleetError {
  const message = `cannot download ${quote(file)} of ${quote(name.repo)} from ${hub.endpoint}: ` +
    `${messageOf(thrown)}`;
  return new LoraFleetError("model_not_found", message, { param: "model", cause: thrown });
}
