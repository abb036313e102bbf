/**
 * Files as OpenAI's API has them: uploads, whose bytes lie under the file's id, and the results of jobs, whose bytes
 * lie in the artifact store.
 */
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import type { CheckpointFile } from "../../storage/checkpoint_file.ts";
import { PRIVATE_FOLDER_MODE } from "../../storage/private_folder.ts";
import type { NewId } from "../../storage/ids.ts";
import type { JobRecord } from "../record/job.ts";
import type { FileRecord, JobStore, Page } from "../stores/job_store.ts";
import { removeUnfinishedFiles, writeStreamedFile } from "../../storage/streamed_file.ts";
import { createFileVerifier } from "../../storage/verified_file.ts";

/** What an upload may be for. OpenAI knows more purposes; nothing here would ever read such a file. */
export const UPLOAD_PURPOSES = ["fine-tune"] as const;
export const RESULT_PURPOSE = "fine-tune-results";

/** A hundred bytes for each of more steps than a job has. */
const MAX_RESULT_TEXT_BYTES = 2 ** 32;

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
  /**
   * Makes a file of what was received; `lifetimeMs` after that it is deleted. Throws `invalid_request` for a name or purpose
   * that will not do.
   */
  keep(received: ReceivedFile, filename: string, purpose: string, lifetimeMs?: number | null): FileRecord;
  discard(received: ReceivedFile): Promise<void>;
  /** Lists a stored artifact as a file of its job. */
  addResult(jobId: string, step: number, artifact: CheckpointFile): FileRecord;
  /** Makes a file of a job's text that is no artifact. Throws `storage`. */
  addResultText(filename: string, text: Iterable<string>): Promise<FileRecord>;
  /** Makes a file of a copy of what lies at `path`, which is no artifact and stays with the job. Throws `storage`. */
  addResultCopy(filename: string, path: string): Promise<FileRecord>;
  /** Forgets results that lie in the artifact store: their bytes are the caller's. */
  forgetResults(jobId: string, step: number): void;
  /** Null where it never was, is deleted or has expired. */
  find(id: string): FileRecord | null;
  /** Throws `not_found`. */
  get(id: string): FileRecord;
  /** Throws `not_found` for an `after` that never was. */
  list(query: Parameters<JobStore["files"]>[0]): Page<FileRecord>;
  /** Deletes what has expired and is not needed by an unfinished job. Reading and listing do so, too. */
  dropExpired(): void;
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

  /** When the files expire that do; from the store when it is first needed. */
  let expiring: Map<string, number> | null = null;

  const userOf = (id: string): readonly [job: JobRecord, role: string] | null => {
    for (const job of store.unfinishedJobs()) {
      if (job.spec.training_file === id) return [job, "training file"];
      if (job.validationFile === id) return [job, "validation file"];
    }
    return null;
  };

  const dropExpired = (): void => {
    expiring ??= expiringOf(store);
    for (const [id, expiresAt] of expiring) {
      if (expiresAt > clock.now() || userOf(id) !== null) continue;
      try {
        store.deleteFile(id);
      } catch {
        // The disk may be full: reading one file is not to fail because another one cannot be forgotten yet.
        continue;
      }
      expiring.delete(id);
      // What stays behind is no file any more: the next start sweeps it away.
      Deno.remove(uploadPath(id)).catch(() => {});
    }
  };

  const find = (id: string): FileRecord | null => {
    dropExpired();
    return store.file(id);
  };

  const get = (id: string): FileRecord => {
    const file = find(id);
    if (file !== null) return file;
    throw new LoraFleetError("not_found", `no such file: ${quote(id)}`, { param: "file" });
  };

  const path = (file: FileRecord): Promise<string> => {
    if (file.artifact === null) return Promise.resolve(uploadPath(file.id));
    const { jobId, step, name } = file.artifact;
    return artifacts.path(jobId, step, { name, size: file.size, sha256: file.sha256 });
  };

  const addResultBytes = async (
    filename: string,
    bytes: AsyncIterable<Uint8Array>,
    maxBytes: number,
  ): Promise<FileRecord> => {
    const id = newId("file");
    const written = await writeStreamedFile(uploadPath(id), bytes, { maxBytes });
    const file = {
      ...{ id, createdAt: clock.now(), filename, purpose: RESULT_PURPOSE, artifact: null, expiresAt: null },
      ...written,
    };
    store.putFile(file);
    return file;
  };

  return {
    async receive(body) {
      const id = newId("file");
      return { id, ...await writeStreamedFile(uploadPath(id), body, { maxBytes: options.maxUploadBytes }) };
    },

    keep(received, filename, purpose, lifetimeMs = null) {
      assertUploadPurpose(purpose);
      assertFilename(filename);
      const createdAt = clock.now();
      const expiresAt = lifetimeMs === null ? null : createdAt + lifetimeMs;
      const file = { ...received, createdAt, filename, purpose, artifact: null, expiresAt };
      store.putFile(file);
      if (expiresAt !== null) (expiring ??= expiringOf(store)).set(file.id, expiresAt);
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
        expiresAt: null,
      };
      store.putFile(file);
      return file;
    },

    async addResultText(filename, text) {
      const encoder = new TextEncoder();
      const bytes = ReadableStream.from(Iterator.from(text).map((line) => encoder.encode(line)));
      return await addResultBytes(filename, bytes, MAX_RESULT_TEXT_BYTES);
    },

    async addResultCopy(filename, path) {
      const source = await Deno.open(path).catch((cause) => {
        throw new LoraFleetError("storage", `cannot read ${quote(filename)}: ${messageOf(cause)}`, { cause });
      });
      return await addResultBytes(filename, source.readable, MAX_COPY_BYTES);
    },

    forgetResults(jobId, step) {
      for (const id of store.job(jobId)?.resultFiles ?? []) {
        if (store.file(id)?.artifact?.step === step) store.deleteFile(id);
      }
    },

    find,
    get,

    list(query) {
      dropExpired();
      return store.files(query);
    },

    dropExpired,

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
          `file ${
            quote(id)
          } is a result of ${job} and stays with it; DELETE /v1/models/{model} deletes an adapter`,
          { param: "file" },
        );
      }
      const user = userOf(id);
      if (user !== null) {
        const [job, role] = user;
        throw new LoraFleetError(
          "conflict",
          `file ${quote(id)} is the ${role} of job ${quote(job.id)}, which is ${job.status}: cancel it first`,
          { param: "file" },
        );
      }
      expiring?.delete(id);
      store.deleteFile(id);
      await Deno.remove(uploadPath(id));
    },

    async sweep() {
      await Deno.mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER_MODE });
      await removeUnfinishedFiles(folder);
      for await (const entry of Deno.readDir(folder)) {
        if (entry.isFile && store.file(entry.name) === null) await Deno.remove(uploadPath(entry.name));
      }
    },
  };
}

/** Throws `invalid_request` that names those that an upload may have. */
export function assertUploadPurpose(purpose: string): void {
  if (UPLOAD_PURPOSES.some((known) => known === purpose)) return;
  throw new LoraFleetError(
    "invalid_request",
    `${quote(purpose)} is not a purpose of an upload: use ${UPLOAD_PURPOSES.map(quote).join(" or ")}`,
    { param: "purpose" },
  );
}

/** Throws `invalid_request` for what no file can be called on every system. */
export function assertFilename(filename: string, param = "file"): void {
  if (!/[\p{Cc}/\\]/u.test(filename) && filename.length > 0 && filename.length <= 255) return;
  throw new LoraFleetError(
    "invalid_request",
    `${quote(filename)} is not a file name: 1 to 255 characters, without slashes and control characters`,
    { param },
  );
}

function expiringOf(store: JobStore): Map<string, number> {
  const found = new Map<string, number>();
  for (let after: string | null = null;;) {
    const page: Page<FileRecord> = store.files({ after, limit: 1000, purpose: null, order: "asc" });
    for (const { id, expiresAt } of page.items) if (expiresAt !== null) found.set(id, expiresAt);
    if (!page.hasMore) return found;
    after = page.items.at(-1)!.id;
  }
}
