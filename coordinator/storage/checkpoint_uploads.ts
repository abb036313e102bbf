/**
 * Files of a checkpoint on their way: each writer's lie apart from everybody else's, and count for nothing until its report
 * is accepted (decision 0019).
 *
 *     <folder>/<job>/incoming/<step>.<writer>/adapter_model.safetensors and ….sha256
 */
import { ADAPTER_FILE_NAMES, STATE_FILE_NAME } from "../../shared/protocol/checkpoint_format.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { type CheckpointFile, readIfThere, readStored, removeIfThere } from "./checkpoint_file.ts";
import { writeStreamedFile } from "./streamed_file.ts";

/** What a checkpoint consists of; other names are refused. */
const CHECKPOINT_FILE_NAMES: readonly string[] = [...ADAPTER_FILE_NAMES, STATE_FILE_NAME];

const INCOMING = "incoming";

export interface CheckpointUpload {
  readonly step: number;
  readonly writer: string;
  readonly name: string;
  readonly sha256: string;
  /** More is refused with `FileTooLargeError`. */
  readonly maxBytes: number;
}

export interface CheckpointUploads {
  /**
   * Stores one file. The same bytes again are accepted without writing; others replace it. An upload of the same file that is
   * still running ends: its writer has begun anew. What another writer has left, or the same one for another step, is removed:
   * nobody waits for it any more. Throws a `LoraFleetError`: `invalid_request`, `corrupt` (not the announced SHA-256),
   * `conflict` (a newer upload has replaced this one), `storage`.
   */
  put(jobFolder: string, upload: CheckpointUpload, body: AsyncIterable<Uint8Array>): Promise<CheckpointFile>;
  /** The complete files of a writer. */
  files(jobFolder: string, step: number, writer: string): Promise<readonly CheckpointFile[]>;
  path(jobFolder: string, step: number, writer: string, name: string): string;
  /** Removes all that is on its way. */
  clear(jobFolder: string): Promise<void>;
}

export function createCheckpointUploads(): CheckpointUploads {
  /** By path. */
  const running = new Map<string, { readonly stop: AbortController; readonly ended: Promise<unknown> }>();

  const folderOf = (jobFolder: string, step: number, writer: string): string => {
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(writer)) {
      throw new LoraFleetError("invalid_request", `${quote(writer)} is not a worker's id`, {
        param: "worker",
      });
    }
    return `${jobFolder}/${INCOMING}/${step}.${writer}`;
  };

  /** One after the other, the newest last: the one before ends as soon as it hears of it. */
  async function inTurn<T>(
    path: string,
    name: string,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const stop = new AbortController();
    const before = running.get(path);
    const ended = Promise.withResolvers<void>();
    const self = { stop, ended: ended.promise };
    running.set(path, self);
    before?.stop.abort(
      new LoraFleetError("conflict", `a newer upload of ${quote(name)} has taken the place of this one`),
    );
    try {
      await before?.ended;
      stop.signal.throwIfAborted();
      return await work(stop.signal);
    } finally {
      ended.resolve();
      if (running.get(path) === self) running.delete(path);
    }
  }

  async function write(
    path: string,
    { name, sha256, maxBytes }: CheckpointUpload,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<CheckpointFile> {
    const present = await readStored(path, name);
    if (present?.sha256 === sha256) return present;
    if (present !== null) await removeIfThere(`${path}.sha256`);
    const written = await writeStreamedFile(path, until(body, signal), { maxBytes, expectedSha256: sha256 });
    // The checksum comes last: a file without one does not count.
    const line = new TextEncoder().encode(`${written.sha256}  ${name}\n`);
    await writeStreamedFile(`${path}.sha256`, ReadableStream.from([line]), { maxBytes: line.byteLength });
    return { name, ...written };
  }

  return {
    async put(jobFolder, upload, body) {
      const { step, writer, name, sha256 } = upload;
      if (!CHECKPOINT_FILE_NAMES.includes(name)) {
        throw new LoraFleetError(
          "invalid_request",
          `${quote(name)} is not a file of a checkpoint: these are ${CHECKPOINT_FILE_NAMES.join(", ")}`,
          { param: "file" },
        );
      }
      if (!/^[0-9a-f]{64}$/.test(sha256)) {
        throw new LoraFleetError(
          "invalid_request",
          `${quote(sha256)} is not a SHA-256: 64 lower-case hexadecimal digits`,
          { param: "sha256" },
        );
      }
      const path = `${folderOf(jobFolder, step, writer)}/${name}`;
      return await inTurn(path, name, async (signal) => {
        await removeOthers(`${jobFolder}/${INCOMING}`, `${step}.${writer}`);
        return await write(path, upload, body, signal);
      });
    },
    async files(jobFolder, step, writer) {
      const folder = folderOf(jobFolder, step, writer);
      const found = await Promise.all(
        CHECKPOINT_FILE_NAMES.map((name) => readStored(`${folder}/${name}`, name)),
      );
      return found.filter((file) => file !== null);
    },
    path: (jobFolder, step, writer, name) => `${folderOf(jobFolder, step, writer)}/${name}`,
    clear: (jobFolder) => removeIfThere(`${jobFolder}/${INCOMING}`),
  };
}

async function removeOthers(folder: string, kept: string): Promise<void> {
  const entries = await readIfThere(() => Array.fromAsync(Deno.readDir(folder))) ?? [];
  for (const { name } of entries) if (name !== kept) await removeIfThere(`${folder}/${name}`);
}

/** The body's chunks; throws the signal's reason also while the next one does not come. */
async function* until(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const stopped = Promise.withResolvers<never>();
  stopped.promise.catch(() => {});
  const onAbort = () => stopped.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const iterator = body[Symbol.asyncIterator]();
  let isOpen = true;
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), stopped.promise]);
      if (next.done) {
        isOpen = false;
        return;
      }
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not waited for: a body that does not come on does not end either.
    if (isOpen) iterator.return?.()?.catch?.(() => {});
  }
}
