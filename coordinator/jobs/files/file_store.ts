/**
 * Files of OpenAI's API: uploads and other bytes, stored under the file's id, and jobs' adapters, whose bytes are in the
 * artifact store.
 */
import { checkDataFile } from "../../../shared/data/files/check_ends.ts";
import { openDataFile } from "../../../shared/data/files/data_bytes.ts";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import { PRIVATE_FOLDER_MODE } from "../../storage/private_folder.ts";
import { removeUnfinishedFiles, writeStreamedFile } from "../../storage/streamed_file.ts";
import { createFileVerifier, type RecordedFile } from "../../storage/verified_file.ts";
import { assertMayStore, type Owner } from "../record/owner.ts";
import type { FileRecord, JobStore, Page } from "../stores/job_store.ts";
import { ExpiringFiles } from "./expiring_files.ts";
import { assertFilename, assertUploadPurpose, useOfFile } from "./file_rules.ts";
import { createResultFiles, RESULT_PURPOSE } from "./result_files.ts";
import type { ResultFiles, ResultFilesOptions } from "./result_files.ts";

/** Bytes on disk that are not a file yet: the form may still turn out to be incomplete. */
export interface ReceivedFile extends RecordedFile {
  readonly id: string;
}

export interface FileStore extends ResultFiles {
  /** Streams an upload to disk. Throws `FileTooLargeError`, or `storage`. */
  receive(body: AsyncIterable<Uint8Array>): Promise<ReceivedFile>;
  /**
   * Makes the received bytes a file, with a lifetime or without. Throws `invalid_request` for its name or purpose, and
   * `QuotaError` if `owner` may not have more.
   */
  keep(
    received: ReceivedFile,
    filename: string,
    purpose: string,
    lifetimeMs?: number | null,
    owner?: Owner | null,
  ): FileRecord;
  /**
   * Looks at the beginning and the end of received bytes. Throws `invalid_dataset` for a file of no known format, or one that
   * was cut off.
   */
  checkData(received: ReceivedFile, filename: string): Promise<void>;
  discard(received: ReceivedFile): Promise<void>;
  /** Null if it never existed, is deleted or has expired. */
  find(id: string): FileRecord | null;
  /** Throws `not_found`. */
  get(id: string): FileRecord;
  /** Throws `not_found` for an `after` that never existed. */
  list(query: Parameters<JobStore["files"]>[0]): Page<FileRecord>;
  /** Deletes expired files that no unfinished job needs, as reading and listing do. */
  dropExpired(): void;
  /** The path of the file's bytes. Throws as `ArtifactStore.path` for an artifact. */
  path(file: FileRecord): Promise<string>;
  /** As `path`, of verified bytes. Throws `DamagedFileError`, `not_found` or `storage`. */
  verifiedPath(file: FileRecord): Promise<string>;
  /** Throws `not_found`, or `conflict` if an unfinished job needs the file or it is a job's result. */
  delete(id: string): Promise<void>;
  /** Removes bytes that an earlier process received but never kept. */
  sweep(): Promise<void>;
}

interface FileStoreOptions extends ResultFilesOptions {
  readonly artifacts: ArtifactStore;
  readonly maxUploadBytes: number;
}

/** Keeps the bytes in a folder, one plain file for each id. */
export function createFileStore(options: FileStoreOptions): FileStore {
  const { folder, store, artifacts, clock, newId, maxUploadBytes } = options;
  const verifier = createFileVerifier();
  const pathOf = (id: string) => `${folder}/${id}`;
  // Bytes without a record that stay behind are removed by the next start's sweep.
  const expiring = new ExpiringFiles(store, clock, (id) => void Deno.remove(pathOf(id)).catch(() => {}));

  const find = (id: string): FileRecord | null => {
    expiring.deleteExpired();
    return store.file(id);
  };

  const get = (id: string): FileRecord => {
    const file = find(id);
    if (file !== null) return file;
    throw new LoraFleetError("not_found", `no such file: ${quote(id)}`, { param: "file" });
  };

  const path = (file: FileRecord): Promise<string> => {
    if (file.artifact === null) return Promise.resolve(pathOf(file.id));
    const { jobId, step, name } = file.artifact;
    return artifacts.path(jobId, step, { name, size: file.size, sha256: file.sha256 });
  };

  return {
    ...createResultFiles(options),
    ...{ find, get, path },
    dropExpired: () => expiring.deleteExpired(),

    async receive(body) {
      const id = newId("file");
      return { id, ...await writeStreamedFile(pathOf(id), body, { maxBytes: maxUploadBytes }) };
    },

    keep(received, filename, purpose, lifetimeMs = null, owner = null) {
      assertUploadPurpose(purpose);
      assertFilename(filename);
      assertMayStore(store, owner, received.size);
      const file = uploadedFile({ ...received, filename, purpose }, clock.now(), lifetimeMs, owner);
      store.putFile(file);
      expiring.add(file);
      return file;
    },

    checkData: ({ id }, filename) => checkData(pathOf(id), filename),

    discard: ({ id }) => Deno.remove(pathOf(id)),

    list(query) {
      expiring.deleteExpired();
      return store.files(query);
    },

    async verifiedPath(file) {
      const found = await path(file);
      if (file.artifact === null) await verifier.verify(found, file, `file ${quote(file.id)}`);
      return found;
    },

    async delete(id) {
      assertDeletable(store, get(id));
      expiring.remove(id);
      store.deleteFile(id);
      await Deno.remove(pathOf(id));
    },

    sweep: () => sweep(folder, store),
  };
}

function uploadedFile(
  received: ReceivedFile & Pick<FileRecord, "filename" | "purpose">,
  createdAt: number,
  lifetimeMs: number | null,
  owner: Owner | null,
): FileRecord {
  const expiresAt = lifetimeMs === null ? null : createdAt + lifetimeMs;
  return { ...received, createdAt, artifact: null, expiresAt, ...owner === null ? {} : { owner: owner.id } };
}

async function checkData(path: string, filename: string): Promise<void> {
  using bytes = await openDataFile(path, `file ${quote(filename)}`);
  await checkDataFile(filename, bytes);
}

async function sweep(folder: string, store: JobStore): Promise<void> {
  await Deno.mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER_MODE });
  await removeUnfinishedFiles(folder);
  for await (const { isFile, name } of Deno.readDir(folder)) {
    if (isFile && !store.hasFile(name)) await Deno.remove(`${folder}/${name}`);
  }
}

function assertDeletable(store: JobStore, { id, purpose, artifact }: FileRecord): void {
  const use = useOfFile(store, id);
  const why = purpose === RESULT_PURPOSE
    ? `a result of ${artifact === null ? "a job" : `job ${quote(artifact.jobId)}`} and stays with it; ` +
      `DELETE /v1/models/{model} deletes an adapter`
    : use !== null
    ? `the ${use.role} of job ${quote(use.job.id)}, which is ${use.job.status}: cancel it first`
    : null;
  if (why !== null) throw new LoraFleetError("conflict", `file ${quote(id)} is ${why}`, { param: "file" });
}
