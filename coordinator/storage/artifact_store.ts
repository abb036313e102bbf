/**
 * The adapters that workers upload, by job and step, as PEFT's files:
 *
 *     <folder>/<job>/<step>/adapter_model.safetensors
 *     <folder>/<job>/<step>/adapter_model.safetensors.sha256      as `sha256sum` writes it
 *
 * and beside them, while the job may have to resume from there, `training_state.safetensors`. These files have been
 * accepted; uploads in progress lie elsewhere (checkpoint_uploads.ts).
 */
import { checkpointFault, type CheckpointTruth } from "./checkpoint_check.ts";
import {
  type CheckpointUpload,
  type CheckpointUploads,
  createCheckpointUploads,
} from "./checkpoint_uploads.ts";
import { keptStates } from "./kept_states.ts";
import { type CheckpointFile, readIfThere, readStored, removeIfThere } from "./checkpoint_file.ts";
import type { Clock } from "../../shared/clock.ts";
import { ADAPTER_FILE_NAMES, STATE_FILE_NAME } from "../../shared/protocol/state/checkpoint_format.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { readWords } from "./state_file.ts";
import { PRIVATE_FOLDER_MODE } from "./private_folder.ts";
import { createFileVerifier } from "./verified_file.ts";

export interface StoredState extends CheckpointFile {
  /** 32-bit words of adapter, first moment and second moment one after the other; fewer at the end. */
  readWords(offset: number, count: number): Promise<Int32Array>;
}

export interface ArtifactStore {
  /** Stores one file of a checkpoint for its writer (checkpoint_uploads.ts); it counts once it is accepted. */
  put(jobId: string, upload: CheckpointUpload, body: AsyncIterable<Uint8Array>): Promise<CheckpointFile>;
  /**
   * A writer reports its files as complete: they replace the files of the step, and all other uploads of the job are removed.
   * Returns the files, or why they are refused: one has not arrived, or they are not what was committed.
   * @param files names and SHA-256 as the writer reports them
   */
  accept(
    jobId: string,
    step: number,
    writer: string,
    files: readonly CheckpointFile[],
    truth: CheckpointTruth,
  ): Promise<{ readonly files: readonly CheckpointFile[] } | { readonly fault: string }>;
  /** The complete files of a step's adapter, sorted by name; empty if there are none. */
  files(jobId: string, step: number): Promise<readonly CheckpointFile[]>;
  /** Steps with at least one complete file, ascending. */
  steps(jobId: string): Promise<readonly number[]>;
  /**
   * The path of a recorded file, whose size and SHA-256 are checked. Throws `not_found`, `DamagedFileError` or `storage`.
   */
  path(jobId: string, step: number, file: CheckpointFile): Promise<string>;
  /** Whether the path of one of the step's files was asked for a short while ago: its reader may still need the others. */
  isRead(jobId: string, step: number): boolean;
  /**
   * The training state of a step; null if none is stored. Throws `DamagedFileError` once and sets the file aside, because a
   * worker that loads it would find the wrong digest.
   */
  state(jobId: string, step: number): Promise<StoredState | null>;
  /**
   * Drops the training states of all steps but one; null: of all.
   * @param suspectSteps older ones stay in case these many steps before it turn out to be no good (`keptStates`); 0 if left out
   */
  dropStates(jobId: string, exceptStep: number | null, suspectSteps?: number): Promise<void>;
  /** After a job's end: drops uploads in progress, and all training states but the newest, from which other jobs may go on. */
  finish(jobId: string): Promise<void>;
  drop(jobId: string, step: number): Promise<void>;
  /** Drops everything of a job, so that a restarted job does not find its own earlier files. */
  clear(jobId: string): Promise<void>;
}

/** A reader takes the next file of a checkpoint within this time; what is open stays readable when it is deleted. */
const READING_MS = 600_000;

/** Keeps artifacts in a folder of the coordinator's disk. */
export function createArtifactStore(folder: string, clock: Pick<Clock, "now">): ArtifactStore {
  /** By folder of a step: when a path in it was last asked for. */
  const readAt = new Map<string, number>();
  const uploads = createCheckpointUploads();
  const verifier = createFileVerifier();
  const folderOfJob = (jobId: string) => jobFolder(folder, jobId);
  const folderOfStep = (jobId: string, step: number) => stepFolder(folderOfJob(jobId), step);
  const files = async (jobId: string, step: number): Promise<readonly CheckpointFile[]> => {
    const read = (name: string) => readStored(`${folderOfStep(jobId, step)}/${name}`, name);
    return (await Promise.all(ADAPTER_FILE_NAMES.map(read))).filter((file) => file !== null);
  };

  return {
    put(jobId, upload, body) {
      folderOfStep(jobId, upload.step);
      return uploads.put(folderOfJob(jobId), upload, body);
    },
    async accept(jobId, step, writer, reported, truth) {
      const upload = { step, writer, reported, truth };
      return await acceptUpload(uploads, folderOfJob(jobId), folderOfStep(jobId, step), upload);
    },
    files,
    async steps(jobId) {
      const steps = await stepsIn(folderOfJob(jobId));
      const complete = await Promise.all(steps.map(async (step) => (await files(jobId, step)).length > 0));
      return steps.filter((_, index) => complete[index]).sort((a, b) => a - b);
    },
    async path(jobId, step, file) {
      const path = `${folderOfStep(jobId, step)}/${file.name}`;
      if (!ADAPTER_FILE_NAMES.includes(file.name)) {
        const message = `job ${quote(jobId)} has no file ${quote(file.name)} of step ${step}`;
        throw new LoraFleetError("not_found", message, { param: "name" });
      }
      readAt.set(folderOfStep(jobId, step), clock.now());
      await verifier.verify(path, file, `${quote(file.name)} of step ${step} of job ${quote(jobId)}`);
      return path;
    },
    isRead(jobId, step) {
      const at = readAt.get(folderOfStep(jobId, step));
      return at !== undefined && clock.now() - at < READING_MS;
    },
    async state(jobId, step) {
      const path = `${folderOfStep(jobId, step)}/${STATE_FILE_NAME}`;
      const file = await readStored(path, STATE_FILE_NAME);
      if (file === null) return null;
      await verifier.verify(path, file, `the training state of step ${step}`);
      return { ...file, readWords: (offset, count) => readWords(path, offset, count) };
    },
    async dropStates(jobId, exceptStep, suspectSteps = 0) {
      const folder = folderOfJob(jobId);
      const kept = exceptStep === null ? [] : keptStates(await statesIn(folder), exceptStep, suspectSteps);
      await dropStates(folder, kept);
      if (exceptStep === null) await uploads.clear(folderOfJob(jobId));
    },
    async finish(jobId) {
      const folder = folderOfJob(jobId);
      const stored = await statesIn(folder);
      if (stored.length > 0) await dropStates(folder, [Math.max(...stored)]);
      await uploads.clear(folder);
    },
    async drop(jobId, step) {
      readAt.delete(folderOfStep(jobId, step));
      await removeIfThere(folderOfStep(jobId, step));
    },
    clear: async (jobId) => await removeIfThere(folderOfJob(jobId)),
  };
}

async function dropStates(jobFolder: string, kept: readonly number[]): Promise<void> {
  for (const step of await stepsIn(jobFolder)) {
    if (kept.includes(step)) continue;
    const path = `${stepFolder(jobFolder, step)}/${STATE_FILE_NAME}`;
    // The checksum goes first: without it the file does not count.
    for (const left of [`${path}.sha256`, path, `${path}.damaged`]) await removeIfThere(left);
  }
}

/** Steps whose training states are stored. */
async function statesIn(jobFolder: string): Promise<number[]> {
  const steps: number[] = [];
  for (const step of await stepsIn(jobFolder)) {
    const path = `${stepFolder(jobFolder, step)}/${STATE_FILE_NAME}`;
    if (await readStored(path, STATE_FILE_NAME) !== null) steps.push(step);
  }
  return steps;
}

interface ReportedUpload {
  readonly step: number;
  readonly writer: string;
  /** As the writer reports them. */
  readonly reported: readonly CheckpointFile[];
  readonly truth: CheckpointTruth;
}

async function acceptUpload(
  uploads: CheckpointUploads,
  jobFolder: string,
  stepFolder: string,
  { step, writer, reported, truth }: ReportedUpload,
): ReturnType<ArtifactStore["accept"]> {
  const uploaded = await uploads.files(jobFolder, step, writer);
  const hasArrived = (file: CheckpointFile) =>
    uploaded.some(({ name, sha256 }) => name === file.name && sha256 === file.sha256);
  const missing = reported.find((file) => !hasArrived(file))?.name ??
    ADAPTER_FILE_NAMES.find((name) => !reported.some((file) => file.name === name));
  if (missing !== undefined) return { fault: `${missing} has not arrived at the coordinator` };
  const files = uploaded.filter(({ name }) => reported.some((file) => file.name === name));
  const pathOf = (name: string) => uploads.path(jobFolder, step, writer, name);
  const fault = await checkpointFault(
    (name) => files.some((file) => file.name === name) ? pathOf(name) : null,
    truth,
  );
  if (fault !== null) return { fault };
  await Deno.mkdir(stepFolder, { recursive: true, mode: PRIVATE_FOLDER_MODE });
  for (const { name } of files) {
    // The old checksum goes first, so that no file ever counts with a different file's checksum.
    await removeIfThere(`${stepFolder}/${name}.sha256`);
    await Deno.rename(pathOf(name), `${stepFolder}/${name}`);
    await Deno.rename(`${pathOf(name)}.sha256`, `${stepFolder}/${name}.sha256`);
  }
  await uploads.clear(jobFolder);
  return { files };
}

function jobFolder(folder: string, jobId: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(jobId)) return `${folder}/${jobId}`;
  throw new LoraFleetError("invalid_request", `${quote(jobId)} is not a job id`, { param: "job" });
}

function stepFolder(jobFolder: string, step: number): string {
  if (Number.isSafeInteger(step) && step >= 1) return `${jobFolder}/${step}`;
  const message = `${quote(step)} is not a step: they count from 1`;
  throw new LoraFleetError("invalid_request", message, { param: "step" });
}

async function stepsIn(jobFolder: string): Promise<number[]> {
  const entries = await readIfThere(() => Array.fromAsync(Deno.readDir(jobFolder))) ?? [];
  return entries.filter(({ name }) => /^[1-9][0-9]*$/.test(name)).map(({ name }) => Number(name));
}
