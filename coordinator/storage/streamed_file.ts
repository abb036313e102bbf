/** Writes a stream into a file so that a reader sees all of it or nothing. */
import { dirname } from "@std/path";
import { createHash } from "node:crypto";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "./private_folder.ts";
import type { RecordedFile } from "./verified_file.ts";

/** A file exceeds its limit. */
export class FileTooLargeError extends LoraFleetError {
  constructor(maxBytes: number, what = "the file", param = "file") {
    super("invalid_request", `${what} is larger than ${maxBytes} bytes, which is the limit`, { param });
  }
}

/** The ending of unfinished files, and of no others. */
const PART_SUFFIX = ".part";

interface StreamedFileOptions {
  /** A larger body is refused and leaves nothing behind. */
  readonly maxBytes: number;
  /** The SHA-256 that the sender announced, in hexadecimal; a different one is refused with `corrupt`. */
  readonly expectedSha256?: string;
  /** Readable as the umask allows, for the cache that all tools of a hub share; otherwise by this user alone. */
  readonly isPublic?: boolean;
  /** Opens the temporary file; a test passes a device that is full. */
  readonly open?: (path: string) => Promise<Deno.FsFile>;
}

/**
 * Streams `body` to `path` through a temporary file beside it, synced and then renamed over what was there. Throws
 * `FileTooLargeError`, `corrupt` when its SHA-256 is not the announced one, `storage` if the disk does not take it. Passes on
 * what `body` throws. In all cases `path` is untouched.
 */
export async function writeStreamedFile(
  path: string,
  body: AsyncIterable<Uint8Array>,
  options: StreamedFileOptions,
): Promise<RecordedFile> {
  const { isPublic = false } = options;
  const open = options.open ??
    ((part) =>
      Deno.open(part, { write: true, createNew: true, ...isPublic ? {} : { mode: PRIVATE_FILE_MODE } }));
  const part = `${path}.${crypto.randomUUID()}${PART_SUFFIX}`;
  const onDisk = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      const message = `cannot write ${quote(path)}: ${messageOf(thrown)}`;
      throw new LoraFleetError("storage", message, { cause: thrown });
    }
  };
  await onDisk(() =>
    Deno.mkdir(dirname(path), { recursive: true, ...isPublic ? {} : { mode: PRIVATE_FOLDER_MODE } })
  );
  const file = await onDisk(() => open(part));
  try {
    const hash = createHash("sha256");
    let size = 0;
    try {
      for await (const chunk of body) {
        size += chunk.byteLength;
        if (size > options.maxBytes) throw new FileTooLargeError(options.maxBytes);
        hash.update(chunk);
        await onDisk(() => writeAll(file, chunk));
      }
      await onDisk(() => file.sync());
    } finally {
      file.close();
    }
    const sha256 = hash.digest("hex");
    if (options.expectedSha256 !== undefined && options.expectedSha256 !== sha256) {
      const message = `the file was announced with SHA-256 ${quote(options.expectedSha256)}, ` +
        `but the ${size} bytes that arrived have ${quote(sha256)}`;
      throw new LoraFleetError("corrupt", message);
    }
    await onDisk(() => Deno.rename(part, path));
    return { size, sha256 };
  } catch (thrown) {
    await Deno.remove(part).catch(() => {});
    throw thrown;
  }
}

/** The SHA-256 of bytes in memory, in hexadecimal. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Removes the unfinished files of an earlier process anywhere under `folder`. */
export async function removeUnfinishedFiles(folder: string): Promise<void> {
  let entries: Deno.DirEntry[];
  try {
    entries = await Array.fromAsync(Deno.readDir(folder));
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return;
    throw thrown;
  }
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) await removeUnfinishedFiles(path);
    else if (entry.name.endsWith(PART_SUFFIX)) await Deno.remove(path);
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) written += await file.write(bytes.subarray(written));
}
