/**
 * Files as OpenAI's API has them: uploads, whose bytes lie under the file's id, and the results of jobs, whose bytes
 * lie in the artifact store.
 */
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import type { ArtifactStore } from "./artifact_store.ts";
import type { CheckpointFile } from "./fleet.ts";
import type { NewId } from "./store/ids.ts";
import type { FileRecord, JobStore } from "./store/job_store.ts";
import { removeUnfinishedFiles, writeStreamedFile } from "./store/streamed_file.ts";
import { createFileVerifier } from "./verified_file.ts";

/** What an upload may be for. OpenAI knows more purposes; nothing here would ever read such a file. */
export const UPLOAD_PURPOSES = ["fine-tune"] as const;
const RESULT_PURPOSE = "fine-tune-results";

/** Far above any tokenizer's file. */
const MAX_COPY_BYTES = 2 ** 30;

/** Bytes on disk that are not yet a file: the form may still turn out to be incomplete. */
export interface ReceivedFile {
  readonly id: string;
  readonly size: number;
  readonly sha256: string;
}

export interface FileStore {
  /** Streams an upload to disk. Throws `FileTooLargeError`, or a `LoraFleetError` with code `storage`. */
  receive(body: AsyncIterable<Uint8Array>): Promise<ReceivedFile>;
  /** Makes a file of what was received. Throws `invalid_request` for a name or purpose that will not do. */
  keep(received: ReceivedFile, filename: string, purpose: string): FileRecord;
  discard(received: ReceivedFile): Promise<void>;
  /** Lists a stored artifact as a file of its job. */
  addResult(jobId: string, step: number, artifact: CheckpointFile): FileRecord;
  /** Makes a file of a copy of what lies at `path`, which is no artifact and stays with the job. Throws `storage`. */
  addResultCopy(filename: string, path: string): Promise<FileRecord>;
  /** Throws `not_found`. */
  get(id: string): FileRecord;
  /** Where the bytes lie. Of a job's result as `ArtifactStore.path` has it. */
  path(file: FileRecord): Promise<string>;
  /** The same for whoever is to get them: sound. Throws `DamagedFileError`, `not_found` or `storage`. */
  soundPath(file: FileRecord): Promise<string>;
  /** Throws `not_found`, or `conflict` while a job needs the file or when it is a job's result. */
  delete(id: string): Promise<void>;
  /** Removes bytes that an earlier process received but never kept. */
  sweep(): Promise<void>;
}

export interface FileStoreOptions {
  readonly folder: string;
  readonly store: JobStore;
  readonly artifacts: ArtifactStore;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly maxUploadBytes: number;
}

/** Keeps uploads in a folder of the coordinator's disk, one plain file for each id. */
export function createFileStore(options: FileStoreOptions): FileStore {
  const { folder, store, artifacts, clock, newId } = options;
  const verifier = createFileVerifier();
  const uploadPath = (id: string) => `${folder}/${id}`;

  const get = (id: string): FileRecord => {
    const file = store.file(id);
    if (file !== null) return file;
    throw new LoraFleetError("not_found", `no such file: ${quote(id)}`, { param: "file" });
  };

  const path = (file: FileRecord): Promise<string> => {
    if (file.artifact === null) return Promise.resolve(uploadPath(file.id));
    const { jobId, step, name } = file.artifact;
    return artifacts.path(jobId, step, { name, size: file.size, sha256: file.sha256 });
  };

  return {
    async receive(body) {
      const id = newId("file");
      return { id, ...await writeStreamedFile(uploadPath(id), body, { maxBytes: options.maxUploadBytes }) };
    },

    keep(received, filename, purpose) {
      if (!UPLOAD_PURPOSES.some((known) => known === purpose)) {
        throw new LoraFleetError(
          "invalid_request",
          `${quote(purpose)} is not a purpose of an upload: use ${UPLOAD_PURPOSES.map(quote).join(" or ")}`,
          { param: "purpose" },
        );
      }
      const unprintable = /[\p{Cc}/\\]/u.test(filename);
      if (unprintable || filename.length === 0 || filename.length > 255) {
        throw new LoraFleetError(
          "invalid_request",
          `${
            quote(filename)
          } is not a file name: 1 to 255 characters, without slashes and control characters`,
          { param: "file" },
        );
      }
      const file = { ...received, createdAt: clock.now(), filename, purpose, artifact: null };
      store.putFile(file);
      return file;
    },

    async discard(received) {
      await Deno.remove(uploadPath(received.id));
    },

    addResult(jobId, step, { name, size, sha256 }) {
      const file = {
        id: newId("file"),
        createdAt: clock.now(),
        filename: name,
        purpose: RESULT_PURPOSE,
        size,
        sha256,
        artifact: { jobId, step, name },
      };
      store.putFile(file);
      return file;
    },

    async addResultCopy(filename, path) {
      const id = newId("file");
      const source = await Deno.open(path).catch((cause) => {
        throw new LoraFleetError("storage", `cannot read ${quote(filename)}: ${messageOf(cause)}`, { cause });
      });
      const written = await writeStreamedFile(uploadPath(id), source.readable, { maxBytes: MAX_COPY_BYTES });
      const file = {
        id,
        createdAt: clock.now(),
        filename,
        purpose: RESULT_PURPOSE,
        artifact: null,
        ...written,
      };
      store.putFile(file);
      return file;
    },

    get,

    path,

    async soundPath(file) {
      const found = await path(file);
      if (file.artifact === null) await verifier.verify(found, file, `file ${quote(file.id)}`);
      return found;
    },

    async delete(id) {
      const file = get(id);
      if (file.purpose === RESULT_PURPOSE) {
        const job = file.artifact === null ? "a job" : `job ${quote(file.artifact.jobId)}`;
        throw new LoraFleetError(
          "conflict",
          `file ${quote(id)} is a result of ${job} and stays with it`,
          { param: "file" },
        );
      }
      const user = store.unfinishedJobs().find((job) => job.spec.training_file === id);
      if (user !== undefined) {
        throw new LoraFleetError(
          "conflict",
          `file ${quote(id)} is the training file of job ${
            quote(user.id)
          }, which is ${user.status}: cancel it first`,
          { param: "file" },
        );
      }
      store.deleteFile(id);
      await Deno.remove(uploadPath(id));
    },

    async sweep() {
      await Deno.mkdir(folder, { recursive: true });
      await removeUnfinishedFiles(folder);
      for await (const entry of Deno.readDir(folder)) {
        if (entry.isFile && store.file(entry.name) === null) await Deno.remove(uploadPath(entry.name));
      }
    },
  };
}
