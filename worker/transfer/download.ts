/** Downloads one file over HTTP, resuming after interruptions; the file gets its name only when it is complete. */
import { createHash, type Hash } from "node:crypto";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { withDeadline } from "../async/abortable.ts";
import type { Runtime } from "../async/runtime.ts";
import type { Fetch } from "./http.ts";
import type { ManifestFile } from "./manifest_check.ts";

/** Give up on a source after this many tries without a byte. */
const MAX_FRUITLESS_TRIES = 10;
const READ_BYTES = 256 * 1024;

export interface DownloadOptions extends Runtime {
  readonly url: string;
  /** Bearer token; null: the source needs none. */
  readonly token: string | null;
  /** Fruitless tries before giving up. Default: 10. */
  readonly tries?: number;
  readonly file: ManifestFile;
  /** The file's final path; until it is complete its bytes are kept beside it under `.part`. */
  readonly path: string;
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
  /** Opens the unfinished file; a test passes a full device. */
  readonly open?: (path: string) => Promise<Deno.FsFile>;
}

/**
 * Rejects with the signal's reason, or with a `LoraFleetError` that names the file: `unauthorized`, `not_found`, `timeout`
 * (the source does not answer), `corrupt` (twice not the announced SHA-256), `storage` (the disk is full or broken).
 */
export async function downloadFile(options: DownloadOptions): Promise<void> {
  const { path, file, clock, limits, signal, log } = options;
  const part = `${path}.part`;
  let isSecondCopy = false;
  for (let failures = 0;;) {
    signal.throwIfAborted();
    const before = await sizeOf(part);
    try {
      const sha256 = await continueFile(options, part);
      if (sha256 === file.sha256) {
        await onDisk(options, () => Deno.rename(part, path));
        return;
      }
      await Deno.remove(part);
      const message = `${
        quote(file.name)
      } has the SHA-256 ${sha256} after its download; expected ${file.sha256}`;
      if (isSecondCopy) throw new LoraFleetError("corrupt", message, { param: file.name });
      log("warn", `${message}; downloading it again`);
      isSecondCopy = true;
      continue;
    } catch (thrown) {
      signal.throwIfAborted();
      const isRetryable = thrown instanceof LoraFleetError && thrown.code === "timeout";
      failures = await sizeOf(part) > before ? 0 : failures + 1;
      if (!isRetryable || failures >= (options.tries ?? MAX_FRUITLESS_TRIES)) {
        const isStorage = thrown instanceof LoraFleetError && thrown.code === "storage";
        if (isStorage) await Deno.remove(part).catch(() => {});
        throw thrown;
      }
      log("warn", `${messageOf(thrown)}; trying again`);
    }
    await clock.sleep(limits.retryIntervalMs, signal);
  }
}

/** Appends the missing bytes. Returns the hash of the whole file. */
async function continueFile(options: DownloadOptions, part: string): Promise<string> {
  const { file } = options;
  const open = options.open ?? ((path) => Deno.open(path, { read: true, write: true, create: true }));
  using disk = await onDisk(options, () => open(part));
  const hash = createHash("sha256");
  let size = await onDisk(options, () => hashPart(disk, hash, options.signal));
  if (size > file.size) {
    await onDisk(options, () => disk.truncate(0));
    throw new LoraFleetError("timeout", `${quote(part)} was longer than the whole file`);
  }
  if (size < file.size) {
    for await (const chunk of bodyFrom(options, size)) {
      if (size + chunk.length > file.size) {
        const message = `${quote(file.name)} is longer than the ${file.size} bytes of the manifest`;
        throw new LoraFleetError("corrupt", message, { param: file.name });
      }
      await onDisk(options, () => writeAll(disk, chunk));
      hash.update(chunk);
      size += chunk.length;
    }
  }
  if (size < file.size) {
    throw new LoraFleetError("timeout", `${quote(file.name)} broke off after ${size} of ${file.size} bytes`);
  }
  await onDisk(options, () => disk.sync());
  return hash.digest("hex");
}

/** The file's bytes from `start`, as they arrive. */
async function* bodyFrom(options: DownloadOptions, start: number): AsyncGenerator<Uint8Array> {
  const { url, token, file, fetch, clock, limits, signal } = options;
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  const what = `downloading ${quote(file.name)}`;
  const inTime = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await withDeadline(clock, limits.coordinatorSilentMs, what, signal, work);
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof LoraFleetError) throw thrown;
      throw new LoraFleetError("timeout", `${what} failed: ${messageOf(thrown)}`, { cause: thrown });
    }
  };
  try {
    const headers = {
      range: `bytes=${start}-`,
      ...token === null ? {} : { authorization: `Bearer ${token}` },
    };
    // A coordinator never redirects.
    const response = await inTime(() => fetch(url, { signal: either, headers, redirect: "error" }));
    assertAnswer(response, file, start);
    const reader = response.body!.getReader();
    for (;;) {
      const { done, value } = await inTime(() => reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    ended.abort();
  }
}

function assertAnswer({ status, body, headers }: Response, file: ManifestFile, start: number): void {
  const isWhole = status === 200 && start === 0;
  const isRest = status === 206 && (headers.get("content-range") ?? "").startsWith(`bytes ${start}-`);
  if ((isWhole || isRest) && body !== null) return;
  const code = status === 401 || status === 403 ? "unauthorized" : status === 404 ? "not_found" : "timeout";
  const what = `downloading ${quote(file.name)} from byte ${start}`;
  const message = `${what} failed: the answer is ${status}, but 206 with that range is expected`;
  throw new LoraFleetError(code, message, { param: file.name });
}

async function hashPart(disk: Deno.FsFile, hash: Hash, signal: AbortSignal): Promise<number> {
  const buffer = new Uint8Array(READ_BYTES);
  for (let size = 0;;) {
    signal.throwIfAborted();
    const count = await disk.read(buffer);
    if (count === null) return size;
    hash.update(buffer.subarray(0, count));
    size += count;
  }
}

async function writeAll(disk: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await disk.write(bytes.subarray(written));
}

async function sizeOf(path: string): Promise<number> {
  return (await Deno.stat(path).catch(() => null))?.size ?? 0;
}

async function onDisk<T>({ file, signal }: DownloadOptions, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    signal.throwIfAborted();
    const message = `cannot store ${quote(file.name)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { param: file.name, cause: thrown });
  }
}
