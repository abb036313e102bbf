/** Jobs' results as files: artifacts by reference, other results as copies in the folder of uploads. */
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import type { CheckpointFile } from "../../storage/checkpoint_file.ts";
import type { NewId } from "../../storage/ids.ts";
import { writeStreamedFile } from "../../storage/streamed_file.ts";
import type { FileRecord, JobStore } from "../stores/job_store.ts";

export const RESULT_PURPOSE = "fine-tune-results";

/** A hundred bytes a step, for more steps than any job has. */
const MAX_TEXT_BYTES = 2 ** 32;

/** Far above any tokenizer's file. */
const MAX_COPY_BYTES = 2 ** 30;

export interface ResultFiles {
  /** Lists a stored artifact as a file of its job. */
  addResult(jobId: string, step: number, artifact: CheckpointFile): FileRecord;
  /** Stores a text of a job. Throws `storage`. */
  addResultText(filename: string, text: Iterable<string>): Promise<FileRecord>;
  /** Stores a copy of the file at `path`. Throws `storage`. */
  addResultCopy(filename: string, path: string): Promise<FileRecord>;
  /** Forgets results in the artifact store; the caller deletes their bytes. */
  forgetResults(jobId: string, step: number): void;
}

export interface ResultFilesOptions {
  readonly folder: string;
  readonly store: JobStore;
  readonly clock: Pick<Clock, "now">;
  readonly newId: NewId;
}

export function createResultFiles({ folder, store, clock, newId }: ResultFilesOptions): ResultFiles {
  const add = (file: Pick<FileRecord, "id" | "filename" | "size" | "sha256" | "artifact">): FileRecord => {
    const record = { ...file, createdAt: clock.now(), purpose: RESULT_PURPOSE, expiresAt: null };
    store.putFile(record);
    return record;
  };

  const addBytes = async (
    filename: string,
    bytes: AsyncIterable<Uint8Array>,
    maxBytes: number,
  ): Promise<FileRecord> => {
    const id = newId("file");
    const written = await writeStreamedFile(`${folder}/${id}`, bytes, { maxBytes });
    return add({ id, filename, artifact: null, ...written });
  };

  return {
    addResult: (jobId, step, { name, size, sha256 }) =>
      add({ id: newId("file"), filename: name, size, sha256, artifact: { jobId, step, name } }),

    async addResultText(filename, text) {
      const encoder = new TextEncoder();
      const bytes = ReadableStream.from(Iterator.from(text).map((line) => encoder.encode(line)));
      return await addBytes(filename, bytes, MAX_TEXT_BYTES);
    },

    async addResultCopy(filename, path) {
      const source = await Deno.open(path).catch((cause) => {
        throw new LoraFleetError("storage", `cannot read ${quote(filename)}: ${messageOf(cause)}`, { cause });
      });
      return await addBytes(filename, source.readable, MAX_COPY_BYTES);
    },

    forgetResults(jobId, step) {
      for (const id of store.job(jobId)?.resultFiles ?? []) {
        if (store.file(id)?.artifact?.step === step) store.deleteFile(id);
      }
    },
  };
}
