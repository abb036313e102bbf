/**
 * The adapters that workers upload, by job and step, as PEFT's files:
 *
 *     <folder>/<job>/<step>/adapter_model.safetensors
 *     <folder>/<job>/<step>/adapter_model.safetensors.sha256      as `sha256sum` writes it
 *
 * and beside them, for as long as the job may have to go on from there, `training_state.safetensors`. What lies there has been
 * accepted; uploads on their way lie elsewhere (checkpoint_uploads.ts).
 */
import { checkpointFault, type CheckpointTruth } from "./checkpoint_check.ts";
import { type CheckpointUpload, createCheckpointUploads } from "./checkpoint_uploads.ts";
import { readIfThere, readStored, removeIfThere } from "./checkpoint_file.ts";
import { ADAPTER_FILE_NAMES, STATE_FILE_NAME } from "../../shared/protocol/checkpoint_format.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { CheckpointFile } from "./checkpoint_file.ts";
import { readWords } from "./state_file.ts";
import { PRIVATE_FOLDER_MODE } from "./private_folder.ts";
import { createFileVerifier } from "./verified_file.ts";

export interface StoredState extends CheckpointFile {
  /** 32-bit words of adapter, first moment and second moment behind one another; fewer where they end. */
  readWords(offset: number, count: number): Promise<Int32Array>;
}

export interface ArtifactStore {
  /** Stores one file of a checkpoint for its writer (checkpoint_uploads.ts); it counts when it is accepted. */
  put(
    jobId: string,
    upload: CheckpointUpload,
    body: AsyncIterable<Uint8Array>,
  ): Promise<CheckpointFile>;
  /**
   * A writer says that its files are all there: they become those of the step, in the place of whatever was there, and what
   * else is on its way for the job is removed. Returns the files, or why they are not accepted: one has not arrived, or they are
   * not what was committed.
   * @param files by name and SHA-256, as the writer tells them
   */
  accept(
    jobId: string,
    step: number,
    writer: string,
    files: readonly CheckpointFile[],
    truth: CheckpointTruth,
  ): Promise<{ readonly files: readonly CheckpointFile[] } | { readonly fault: string }>;
  /** The complete files of a step's adapter, sorted by name; empty where there are none. */
  files(jobId: string, step: number): Promise<readonly CheckpointFile[]>;
  /** The steps of which at least one complete file is there, ascending. */
  steps(jobId: string): Promise<readonly number[]>;
  /**
   * Where a file lies that was recorded with this size and SHA-256, and still has them. Throws `not_found`, `DamagedFileError`
   * or `storage`.
   */
  path(jobId: string, step: number, file: CheckpointFile): Promise<string>;
  /**
   * The training state of a step; null where none is stored. Throws `DamagedFileError` once, and sets the file aside: whoever
   * loaded it would find its digest wrong.
   */
  state(jobId: string, step: number): Promise<StoredState | null>;
  /** Drops the training states of all steps but one, or of all. */
  dropStates(jobId: string, exceptStep: number | null): Promise<void>;
  /** Drops everything of a step. */
  drop(jobId: string, step: number): Promise<void>;
  /** Drops everything of a job, so that a job which starts again does not meet its own earlier files. */
  clear(jobId: string): Promise<void>;
}

/** Keeps artifacts in a folder of the coordinator's disk. */
export function createArtifactStore(folder: string): ArtifactStore {
  const uploads = createCheckpointUploads();
  const verifier = createFileVerifier();
  const jobFolder = (jobId: string): string => {
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(jobId)) {
      throw new LoraFleetError("invalid_request", `${quote(jobId)} is not a job id`, { param: "job" });
    }
    return `${folder}/${jobId}`;
  };
  const stepFolder = (jobId: string, step: number): string => {
    if (!Number.isSafeInteger(step) || step < 1) {
      throw new LoraFleetError("invalid_request", `${quote(step)} is not a step: they count from 1`, {
        param: "step",
      });
    }
    return `${jobFolder(jobId)}/${step}`;
  };

  const read = (jobId: string, step: number, name: string): Promise<CheckpointFile | null> =>
    readStored(`${stepFolder(jobId, step)}/${name}`, name);

  const files = async (jobId: string, step: number): Promise<readonly CheckpointFile[]> => {
    const found = await Promise.all(ADAPTER_FILE_NAMES.map((name) => read(jobId, step, name)));
    return found.filter((file) => file !== null);
  };

  const stepFolders = async (jobId: string): Promise<number[]> => {
    const entries = await readIfThere(() => Array.fromAsync(Deno.readDir(jobFolder(jobId)))) ?? [];
    return entries.filter((entry) => /^[1-9][0-9]*$/.test(entry.name)).map((entry) => Number(entry.name));
  };

  return {
    put: (jobId, upload, body) => {
      stepFolder(jobId, upload.step);
      return uploads.put(jobFolder(jobId), upload, body);
    },

    async accept(jobId, step, writer, wanted, truth) {
      const folder = jobFolder(jobId);
      const staged = await uploads.files(folder, step, writer);
      const isThere = (file: CheckpointFile) =>
        staged.some(({ name, sha256 }) => name === file.name && sha256 === file.sha256);
      const missing = wanted.find((file) => !isThere(file))?.name ??
        ADAPTER_FILE_NAMES.find((name) => !wanted.some((file) => file.name === name));
      if (missing !== undefined) return { fault: `${missing} has not arrived at the coordinator` };
      const told = staged.filter(({ name }) => wanted.some((file) => file.name === name));
      const pathOf = (name: string) => uploads.path(folder, step, writer, name);
      const fault = await checkpointFault(
        (name) => told.some((file) => file.name === name) ? pathOf(name) : null,
        truth,
      );
      if (fault !== null) return { fault };
      const target = stepFolder(jobId, step);
      await Deno.mkdir(target, { recursive: true, mode: PRIVATE_FOLDER_MODE });
      for (const { name } of told) {
        // Without its checksum a file does not count: it never does with another one's.
        await removeIfThere(`${target}/${name}.sha256`);
        await Deno.rename(pathOf(name), `${target}/${name}`);
        await Deno.rename(`${pathOf(name)}.sha256`, `${target}/${name}.sha256`);
      }
      await uploads.clear(folder);
      return { files: told };
    },

    files,

    async steps(jobId) {
      const steps = await stepFolders(jobId);
      const complete = await Promise.all(steps.map(async (step) => (await files(jobId, step)).length > 0));
      return steps.filter((_, index) => complete[index]).sort((a, b) => a - b);
    },

    async path(jobId, step, file) {
      const path = `${stepFolder(jobId, step)}/${file.name}`;
      if (!ADAPTER_FILE_NAMES.includes(file.name)) {
        throw new LoraFleetError(
          "not_found",
          `job ${quote(jobId)} has no file ${quote(file.name)} of step ${step}`,
          { param: "name" },
        );
      }
      await verifier.verify(path, file, `${quote(file.name)} of step ${step} of job ${quote(jobId)}`);
      return path;
    },

    async state(jobId, step) {
      const file = await read(jobId, step, STATE_FILE_NAME);
      if (file === null) return null;
      const path = `${stepFolder(jobId, step)}/${STATE_FILE_NAME}`;
      await verifier.verify(path, file, `the training state of step ${step}`);
      return { ...file, readWords: (offset, count) => readWords(path, offset, count) };
    },

    async dropStates(jobId, exceptStep) {
      for (const step of await stepFolders(jobId)) {
        if (step === exceptStep) continue;
        const path = `${stepFolder(jobId, step)}/${STATE_FILE_NAME}`;
        // The checksum goes first: without it the file does not count.
        for (const left of [`${path}.sha256`, path, `${path}.damaged`]) await removeIfThere(left);
      }
      if (exceptStep === null) await uploads.clear(jobFolder(jobId));
    },

    async drop(jobId, step) {
      await readIfThere(() => Deno.remove(stepFolder(jobId, step), { recursive: true }));
    },

    async clear(jobId) {
      await removeIfThere(jobFolder(jobId));
    },
  };
}
