/**
 * Downloads one file's bytes into a blob of the cache. What arrives is kept beside it as `.incomplete` and continued with
 * Range, in this process or the next; the blob gets its name only when size and checksum are right.
 */
import { createHash, type Hash } from "node:crypto";
import { isDiskFull } from "../disk_errors.ts";
import { LoraFleetError, quote } from "../errors.ts";
import { onDisk } from "./cache.ts";
import { refusalOf } from "./hub_error.ts";
import type { RepoFile } from "./repo_files.ts";
import { pathOf, type RepoName } from "./repo_name.ts";
import { authorization, hubFetch, type HubOptions, Retries } from "./requests.ts";

const READ_BYTES = 256 * 1024;
/** Besides the file itself: bodies of redirects. */
const OVERHEAD_BYTES = 2 ** 20;

export interface BlobDownload {
  readonly name: RepoName;
  readonly hub: HubOptions;
  readonly commit: string;
  readonly file: RepoFile;
  readonly blobPath: string;
  readonly signal: AbortSignal | undefined;
  /** The file's bytes on the disk so far; may fall if they turn out wrong. */
  readonly onBytes: (bytes: number) => void;
  /** Opens the unfinished file; a test passes a full device. */
  readonly open?: (path: string) => Promise<Deno.FsFile>;
}

/** The unfinished file, hashed as far as it goes. */
interface Part {
  readonly disk: Deno.FsFile;
  size: number;
  hash: Hash;
  /** Of the body that it came from, if this process got it. */
  etag: string | null;
}

/**
 * The blob's lock has to be held. Rejects with the signal's reason, a `HubRefusal`, `corrupt` (twice not the announced
 * checksum), `storage`, or what `fetch` threw last.
 */
export async function downloadBlob(download: BlobDownload): Promise<void> {
  const { blobPath, hub, signal, file } = download;
  const path = incompletePath(blobPath);
  const open = download.open ?? ((path) => Deno.open(path, { read: true, write: true, create: true }));
  try {
    using disk = await onDisk(path, () => open(path));
    const part: Part = { disk, size: 0, hash: newHash(file), etag: null };
    await onDisk(path, () => hashStored(part, signal));
    if (part.size > file.size) await startOver(part, file, path);
    await fill(download, part, new Retries(hub));
    await onDisk(path, () => disk.sync());
  } catch (thrown) {
    signal?.throwIfAborted();
    if (thrown instanceof LoraFleetError && isDiskFull(thrown.cause)) await Deno.remove(path).catch(() => {});
    throw thrown;
  }
  await onDisk(blobPath, () => Deno.rename(path, blobPath));
}

export const incompletePath = (blobPath: string) => `${blobPath}.incomplete`;

/** Bytes that an earlier process left. */
export async function keptBytes(blobPath: string): Promise<number> {
  return (await Deno.stat(incompletePath(blobPath)).catch(() => null))?.size ?? 0;
}

/** Returns when the part is the whole file, with the right checksum. */
async function fill(download: BlobDownload, part: Part, retries: Retries): Promise<void> {
  const { file, signal, onBytes, blobPath } = download;
  let isSecondCopy = false;
  for (;;) {
    signal?.throwIfAborted();
    const before = part.size;
    onBytes(part.size);
    try {
      if (part.size < file.size) await appendFrom(download, part);
    } catch (thrown) {
      if (part.size > before) retries.succeeded();
      await retries.failed(thrown, signal);
      continue;
    }
    const digest = part.hash.digest("hex");
    if (digest === file.etag) return;
    const kind = file.sha256 === null ? "git id" : "SHA-256";
    const message = `${
      quote(file.path)
    } has the ${kind} ${digest} after its download; ${file.etag} is announced`;
    await startOver(part, file, incompletePath(blobPath));
    if (isSecondCopy) throw new LoraFleetError("corrupt", message, { param: file.path });
    isSecondCopy = true;
  }
}

/** Appends what is missing. Throws if the body ends too early or too late. */
async function appendFrom(download: BlobDownload, part: Part): Promise<void> {
  const { name, hub, commit, file, signal, onBytes, blobPath } = download;
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  const url = `${hub.endpoint}/${pathOf(name)}/resolve/${commit}/${path}`;
  const fetch = hubFetch(hub, { maxBytes: file.size + OVERHEAD_BYTES, maxResponses: 20 });
  const headers: Record<string, string> = { ...authorization(hub), "accept-encoding": "identity" };
  if (part.size > 0) {
    headers["range"] = `bytes=${part.size}-`;
    if (part.etag !== null) headers["if-range"] = part.etag;
  }
  const response = await fetch(url, { headers, ...(signal === undefined ? {} : { signal }) });
  if (!response.ok) {
    const refusal = await refusalOf(response);
    // Nothing lies behind these bytes, so the file on the hub is not the one that they came from.
    if (response.status === 416) await startOver(part, file, incompletePath(blobPath));
    throw response.status === 416 ? new LoraFleetError("timeout", refusal.message) : refusal;
  }
  try {
    if (response.status !== 206) {
      if (part.size > 0) await startOver(part, file, incompletePath(blobPath));
    } else assertRange(response, part.size, file);
    part.etag = strongEtag(response);
    for await (const chunk of response.body ?? []) {
      if (part.size + chunk.length > file.size) throw wrongSize(file, `${part.size + chunk.length} or more`);
      await onDisk(incompletePath(blobPath), () => writeAll(part.disk, chunk));
      part.hash.update(chunk);
      part.size += chunk.length;
      onBytes(part.size);
    }
  } finally {
    await response.body?.cancel().catch(() => {});
  }
  if (part.size < file.size) throw wrongSize(file, String(part.size));
}

/** A body that ends too early may be whole the next time. */
function wrongSize(file: RepoFile, arrived: string): LoraFleetError {
  const message = `${quote(file.path)} has ${file.size} bytes on the hub, but ${arrived} arrived`;
  return new LoraFleetError("timeout", message, { param: file.path });
}

function assertRange(response: Response, start: number, file: RepoFile): void {
  const range = response.headers.get("content-range") ?? "";
  if (range.startsWith(`bytes ${start}-`) && range.endsWith(`/${file.size}`)) return;
  const message = `${quote(file.path)} was asked for from byte ${start} of ${file.size}, the answer is ${
    quote(range)
  }`;
  throw new LoraFleetError("timeout", message, { param: file.path });
}

/** Only a strong ETag promises equal bytes. */
function strongEtag(response: Response): string | null {
  const etag = response.headers.get("etag");
  return etag === null || etag.startsWith("W/") ? null : etag;
}

function newHash({ size, sha256 }: RepoFile): Hash {
  return sha256 === null ? createHash("sha1").update(`blob ${size}\0`) : createHash("sha256");
}

async function startOver(part: Part, file: RepoFile, path: string): Promise<void> {
  await onDisk(path, async () => {
    await part.disk.truncate(0);
    await part.disk.seek(0, Deno.SeekMode.Start);
  });
  part.size = 0;
  part.hash = newHash(file);
  part.etag = null;
}

async function hashStored(part: Part, signal: AbortSignal | undefined): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  for (;;) {
    signal?.throwIfAborted();
    const count = await part.disk.read(buffer);
    if (count === null) return;
    part.hash.update(buffer.subarray(0, count));
    part.size += count;
  }
}

async function writeAll(disk: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await disk.write(bytes.subarray(written));
}
