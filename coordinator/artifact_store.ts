/**
 * The adapters that workers upload, by job and step, as PEFT's files:
 *
 *     <folder>/<job>/<step>/adapter_model.safetensors
 *     <folder>/<job>/<step>/adapter_model.safetensors.sha256      as `sha256sum` writes it
 *
 * and beside them, for as long as the job may have to go on from there, `training_state.safetensors`.
 */
import { ADAPTER_FILE_NAMES, STATE_FILE_NAME } from "../shared/checkpoint_format.ts";
import { LoraFleetError, quote } from "../shared/errors.ts";
import type { CheckpointFile } from "./fleet.ts";
import { readWords } from "./state_file.ts";
import { writeStreamedFile } from "./store/streamed_file.ts";

/** What a checkpoint consists of; other names are refused. */
const CHECKPOINT_FILE_NAMES = [...ADAPTER_FILE_NAMES, STATE_FILE_NAME];

export interface StoredState extends CheckpointFile {
  /** 32-bit words of adapter, first moment and second moment behind one another; fewer where they end. */
  readWords(offset: number, count: number): Promise<Int32Array>;
}

export interface ArtifactStore {
  /**
   * Stores one file of a checkpoint. The same bytes again are accepted without writing, so that a worker may retry.
   * Throws a `LoraFleetError`: `invalid_request` (name, step, size), `corrupt` (not the announced SHA-256),
   * `conflict` (other bytes under the same name), `storage`.
   */
  put(
    jobId: string,
    step: number,
    name: string,
    body: AsyncIterable<Uint8Array>,
    expectedSha256: string,
  ): Promise<CheckpointFile>;
  /** The complete files of a step's adapter, sorted by name; empty where there are none. */
  files(jobId: string, step: number): Promise<readonly CheckpointFile[]>;
  /** The steps of which at least one complete file is there, ascending. */
  steps(jobId: string): Promise<readonly number[]>;
  /** Where a file lies. Throws `not_found` unless `files` lists it. */
  path(jobId: string, step: number, name: string): Promise<string>;
  /** The training state of a step, where it is stored. */
  state(jobId: string, step: number): Promise<StoredState | null>;
  /** Drops the training states of all steps but one, or of all. */
  dropStates(jobId: string, exceptStep: number | null): Promise<void>;
  /** Drops everything of a step. */
  drop(jobId: string, step: number): Promise<void>;
  /** Drops everything of a job, so that a job which starts again does not meet its own earlier files. */
  clear(jobId: string): Promise<void>;
}

/** Adapters of a rank that makes sense stay far below this. */
const DEFAULT_MAX_FILE_BYTES = 16 * 2 ** 30;

/** Keeps artifacts in a folder of the coordinator's disk. */
export function createArtifactStore(folder: string, maxFileBytes = DEFAULT_MAX_FILE_BYTES): ArtifactStore {
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

  const read = async (jobId: string, step: number, name: string): Promise<CheckpointFile | null> => {
    const path = `${stepFolder(jobId, step)}/${name}`;
    const sha256 = (await readIfThere(() => Deno.readTextFile(`${path}.sha256`)))?.slice(0, 64);
    const stat = await readIfThere(() => Deno.stat(path));
    return sha256 === undefined || stat === null ? null : { name, size: stat.size, sha256 };
  };

  const files = async (jobId: string, step: number): Promise<readonly CheckpointFile[]> => {
    const found = await Promise.all(ADAPTER_FILE_NAMES.map((name) => read(jobId, step, name)));
    return found.filter((file) => file !== null);
  };

  const stepFolders = async (jobId: string): Promise<number[]> => {
    const entries = await readIfThere(() => Array.fromAsync(Deno.readDir(jobFolder(jobId)))) ?? [];
    return entries.filter((entry) => /^[1-9][0-9]*$/.test(entry.name)).map((entry) => Number(entry.name));
  };

  return {
    async put(jobId, step, name, body, expectedSha256) {
      const path = `${stepFolder(jobId, step)}/${name}`;
      if (!CHECKPOINT_FILE_NAMES.some((known) => known === name)) {
        throw new LoraFleetError(
          "invalid_request",
          `${quote(name)} is not a file of a checkpoint: these are ${CHECKPOINT_FILE_NAMES.join(", ")}`,
          { param: "file" },
        );
      }
      if (!/^[0-9a-f]{64}$/.test(expectedSha256)) {
        throw new LoraFleetError(
          "invalid_request",
          `${quote(expectedSha256)} is not a SHA-256: 64 lower-case hexadecimal digits`,
          { param: "sha256" },
        );
      }
      const present = await read(jobId, step, name);
      if (present !== null) {
        if (present.sha256 === expectedSha256) return present;
        throw new LoraFleetError(
          "conflict",
          `${
            quote(name)
          } of step ${step} is already stored with SHA-256 ${present.sha256}, not ${expectedSha256}`,
          { param: "sha256" },
        );
      }
      const written = await writeStreamedFile(path, body, { maxBytes: maxFileBytes, expectedSha256 });
      // The checksum comes last: a file without one does not count.
      const line = new TextEncoder().encode(`${written.sha256}  ${name}\n`);
      await writeStreamedFile(`${path}.sha256`, ReadableStream.from([line]), { maxBytes: line.byteLength });
      return { name, ...written };
    },

    files,

    async steps(jobId) {
      const steps = await stepFolders(jobId);
      const complete = await Promise.all(steps.map(async (step) => (await files(jobId, step)).length > 0));
      return steps.filter((_, index) => complete[index]).sort((a, b) => a - b);
    },

    async path(jobId, step, name) {
      const known = (await files(jobId, step)).some((file) => file.name === name);
      if (!known) {
        throw new LoraFleetError(
          "not_found",
          `job ${quote(jobId)} has no file ${quote(name)} of step ${step}`,
          {
            param: "name",
          },
        );
      }
      return `${stepFolder(jobId, step)}/${name}`;
    },

    async state(jobId, step) {
      const file = await read(jobId, step, STATE_FILE_NAME);
      const path = `${stepFolder(jobId, step)}/${STATE_FILE_NAME}`;
      return file === null ? null : { ...file, readWords: (offset, count) => readWords(path, offset, count) };
    },

    async dropStates(jobId, exceptStep) {
      for (const step of await stepFolders(jobId)) {
        if (step === exceptStep) continue;
        const path = `${stepFolder(jobId, step)}/${STATE_FILE_NAME}`;
        // The checksum goes first: without it the file does not count.
        await readIfThere(() => Deno.remove(`${path}.sha256`));
        await readIfThere(() => Deno.remove(path));
      }
    },

    async drop(jobId, step) {
      await readIfThere(() => Deno.remove(stepFolder(jobId, step), { recursive: true }));
    },

    async clear(jobId) {
      await readIfThere(() => Deno.remove(jobFolder(jobId), { recursive: true }));
    },
  };
}

async function readIfThere<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  }
}
