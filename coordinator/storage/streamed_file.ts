/** Writes a stream into a file so that a reader sees the whole of it or nothing. */
import { dirname } from "@std/path";
import { createHash } from "node:crypto";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE } from "./private_folder.ts";

/** More bytes came than a file may have. */
export class FileTooLargeError extends LoraFleetError {
  constructor(maxBytes: number, what = "the file", param = "file") {
    super("invalid_request", `${what} is larger than ${maxBytes} bytes, which is the limit`, { param });
  }
}

/** What stands in the names of files that are not finished; nothing else may end so. */
const PART_SUFFIX = ".part";

export interface StreamedFileOptions {
  /** More than this many bytes are refused, and nothing stays behind. */
  readonly maxBytes: number;
  /** The SHA-256 that the sender announced, in hexadecimal; another one is refused with code `corrupt`. */
  readonly expectedSha256?: string;
  /** For whoever the umask lets read it, as the cache that all tools of a hub share; else for this user alone. */
  readonly isPublic?: boolean;
  /** Opens the temporary file; a test passes a device that is full. */
  readonly open?: (path: string) => Promise<Deno.FsFile>;
}

export interface WrittenFile {
  readonly size: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

/**
 * Streams `body` to `path` through a temporary file beside it, synced and then renamed over what was there.
 *
 * Throws a `LoraFleetError`: `FileTooLargeError`, `corrupt` when its SHA-256 is not the announced
 * one, `storage` when the disk does not take it. What `body` throws is passed on. In all cases `path` is untouched.
 */
export async function writeStreamedFile(
  path: string,
  body: AsyncIterable<Uint8Array>,
  options: StreamedFileOptions,
): Promise<WrittenFile> {
  const { isPublic = false } = options;
  const open = options.open ??
    ((part) =>
      Deno.open(part, { write: true, createNew: true, ...isPublic ? {} : { mode: PRIVATE_FILE_MODE } }));
  const part = `${path}.${crypto.randomUUID()}${PART_SUFFIX}`;
  const onDisk = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      throw new LoraFleetError("storage", `cannot write ${quote(path)}: ${messageOf(thrown)}`, {
        cause: thrown,
      });
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
      throw new LoraFleetError(
        "corrupt",
        `the file was announced with SHA-256 ${quote(options.expectedSha256)}, ` +
          `but the ${size} bytes that arrived have ${quote(sha256)}`,
      );
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

/** Removes what an earlier process left half-written anywhere under `folder`. */
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
