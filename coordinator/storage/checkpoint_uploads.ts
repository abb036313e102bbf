/**
 * Checkpoint files being uploaded. Each writer has a folder of its own, and its files do not count before its report is
 * accepted (decision 0019).
 *
 *     <folder>/<job>/incoming/<step>.<writer>/adapter_model.safetensors and ….sha256
 */
import { ADAPTER_FILE_NAMES, STATE_FILE_NAME } from "../../shared/protocol/state/checkpoint_format.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { type CheckpointFile, readIfThere, readStored, removeIfThere } from "./checkpoint_file.ts";
import { createNewestUpload, untilAborted } from "./newest_upload.ts";
import { writeStreamedFile } from "./streamed_file.ts";

/** Other names are refused. */
const CHECKPOINT_FILE_NAMES: readonly string[] = [...ADAPTER_FILE_NAMES, STATE_FILE_NAME];

const INCOMING = "incoming";

export interface CheckpointUpload {
  readonly step: number;
  readonly writer: string;
  readonly name: string;
  readonly sha256: string;
  /** A larger file is refused with `FileTooLargeError`. */
  readonly maxBytes: number;
}

export interface CheckpointUploads {
  /**
   * Stores one file. Identical bytes are accepted without writing; others replace the file. A running upload of the same file
   * ends, because its writer has started over. Files of other writers and other steps are removed: the job no longer waits
   * for them. Throws `invalid_request`, `corrupt` (not the announced SHA-256), `conflict` (replaced by a
   * newer upload), `storage`.
   */
  put(jobFolder: string, upload: CheckpointUpload, body: AsyncIterable<Uint8Array>): Promise<CheckpointFile>;
  /** The complete files of a writer. */
  files(jobFolder: string, step: number, writer: string): Promise<readonly CheckpointFile[]>;
  path(jobFolder: string, step: number, writer: string, name: string): string;
  /** Removes all uploads of a job. */
  clear(jobFolder: string): Promise<void>;
}

export function createCheckpointUploads(): CheckpointUploads {
  const inTurn = createNewestUpload();
  return {
    async put(jobFolder, upload, body) {
      const { step, writer, name, sha256 } = upload;
      assertUpload(name, sha256);
      const path = `${folderOf(jobFolder, step, writer)}/${name}`;
      return await inTurn(path, name, async (signal) => {
        await removeOthers(`${jobFolder}/${INCOMING}`, `${step}.${writer}`);
        return await write(path, upload, untilAborted(body, signal));
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

function assertUpload(name: string, sha256: string): void {
  if (!CHECKPOINT_FILE_NAMES.includes(name)) {
    const names = CHECKPOINT_FILE_NAMES.join(", ");
    throw invalid("file", `${quote(name)} is not a file of a checkpoint: these are ${names}`);
  }
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw invalid("sha256", `${quote(sha256)} is not a SHA-256: 64 lower-case hexadecimal digits`);
  }
}

function folderOf(jobFolder: string, step: number, writer: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(writer)) return `${jobFolder}/${INCOMING}/${step}.${writer}`;
  throw invalid("worker", `${quote(writer)} is not a worker's id`);
}

async function write(
  path: string,
  { name, sha256, maxBytes }: CheckpointUpload,
  body: AsyncIterable<Uint8Array>,
): Promise<CheckpointFile> {
  const present = await readStored(path, name);
  if (present?.sha256 === sha256) return present;
  if (present !== null) await removeIfThere(`${path}.sha256`);
  const written = await writeStreamedFile(path, body, { maxBytes, expectedSha256: sha256 });
  // The checksum comes last: a file without one does not count.
  const line = new TextEncoder().encode(`${written.sha256}  ${name}\n`);
  await writeStreamedFile(`${path}.sha256`, ReadableStream.from([line]), { maxBytes: line.byteLength });
  return { name, ...written };
}

async function removeOthers(folder: string, kept: string): Promise<void> {
  const entries = await readIfThere(() => Array.fromAsync(Deno.readDir(folder))) ?? [];
  for (const { name } of entries) if (name !== kept) await removeIfThere(`${folder}/${name}`);
}

function invalid(param: string, message: string): LoraFleetError {
  return new LoraFleetError("invalid_request", message, { param });
}
