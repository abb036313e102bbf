/** The artifact store of a simulation: what a disk would keep, without its waiting. */
import type { ArtifactStore, StoredState } from "../../coordinator/storage/artifact_store.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { sha256Of } from "../../coordinator/storage/streamed_file.ts";
import { digestOfArrays } from "../../shared/protocol/state/state_digest.ts";
import type { CheckpointFile } from "../../coordinator/storage/checkpoint_file.ts";

export interface MemoryArtifacts extends ArtifactStore {
  /** Uploads a step's adapter and state, and returns the files as a worker reports them. They count once accepted. */
  store(
    jobId: string,
    step: number,
    writer: string,
    adapter: Uint8Array,
    state: Int32Array,
  ): CheckpointFile[];
}

interface Shelves {
  /** By job and step. */
  readonly adapters: Map<string, CheckpointFile>;
  readonly states: Map<string, { readonly step: number; readonly state: StoredState }>;
  /** Uploaded and not accepted, by job, step and writer. */
  readonly staged: Map<string, readonly CheckpointFile[]>;
  readonly stagedStates: Map<string, StoredState & { readonly digest: string }>;
}

const keyOf = (jobId: string, step: number) => `${jobId}/${step}`;
const unused = () => Promise.reject(new LoraFleetError("storage", "a simulation stores by `store` alone"));

export function createMemoryArtifacts(): MemoryArtifacts {
  const shelves: Shelves = {
    ...{ adapters: new Map(), states: new Map(), staged: new Map(), stagedStates: new Map() },
  };
  const { adapters, states } = shelves;
  return {
    put: unused,
    accept: (...args) => Promise.resolve(accept(shelves, ...args)),
    path: (jobId, step, { name }) =>
      adapters.get(keyOf(jobId, step))?.name === name ? Promise.resolve(name) : unused(),
    isRead: () => false,
    steps: (jobId) =>
      Promise.resolve(
        [...adapters.keys()].filter((key) => key.startsWith(`${jobId}/`)).map((key) =>
          Number(key.split("/")[1])
        ),
      ),
    files: (jobId, step) => {
      const file = adapters.get(keyOf(jobId, step));
      return Promise.resolve(file === undefined ? [] : [file]);
    },
    // As on a disk: the initial adapter has no checkpoint.
    state: (jobId, step) =>
      step < 1
        ? Promise.reject(new LoraFleetError("invalid_request", `${step} is not a step: they count from 1`))
        : Promise.resolve(states.get(keyOf(jobId, step))?.state ?? null),
    dropStates: (jobId, exceptStep) => {
      for (const [key, { step }] of states) {
        if (key.startsWith(`${jobId}/`) && step !== exceptStep) states.delete(key);
      }
      return Promise.resolve();
    },
    finish: (jobId) => {
      const steps = [...states].flatMap(([key, { step }]) => key.startsWith(`${jobId}/`) ? [step] : []);
      for (const step of steps) if (step !== Math.max(...steps)) states.delete(keyOf(jobId, step));
      return Promise.resolve();
    },
    drop: (jobId, step) => {
      for (const map of [adapters, states]) map.delete(keyOf(jobId, step));
      return Promise.resolve();
    },
    clear: (jobId) => {
      for (const map of [adapters, states]) {
        for (const key of map.keys()) if (key.startsWith(`${jobId}/`)) map.delete(key);
      }
      return Promise.resolve();
    },
    store: (jobId, step, writer, adapter, state) =>
      stage(shelves, `${keyOf(jobId, step)}/${writer}`, adapter, state.slice()),
  };
}

function accept(
  { adapters, states, staged, stagedStates }: Shelves,
  ...[jobId, step, writer, wanted, { digest }]: Parameters<ArtifactStore["accept"]>
): Awaited<ReturnType<ArtifactStore["accept"]>> {
  const from = `${keyOf(jobId, step)}/${writer}`;
  const files = staged.get(from) ?? [];
  const missing = wanted.find((file) => !files.some(({ sha256 }) => sha256 === file.sha256));
  if (missing !== undefined) return { fault: `${missing.name} has not arrived at the coordinator` };
  const state = stagedStates.get(from)!;
  // Model workers have no state: their bytes are the digest itself, and do not hash to it.
  if (state.size > digest.length / 2 && state.digest !== digest) {
    return { fault: `the training state has the digest ${state.digest}, not ${digest}` };
  }
  adapters.set(keyOf(jobId, step), files.find(({ name }) => name === "adapter_model.safetensors")!);
  states.set(keyOf(jobId, step), { step, state });
  staged.clear();
  stagedStates.clear();
  return { files };
}

function stage(
  { staged, stagedStates }: Shelves,
  key: string,
  adapter: Uint8Array,
  words: Int32Array<ArrayBuffer>,
): CheckpointFile[] {
  const file = { name: "adapter_model.safetensors", size: adapter.length, sha256: sha256Of(adapter) };
  const bytes = new Uint8Array(words.buffer);
  const stateFile = { name: "training_state.safetensors", size: bytes.length, sha256: sha256Of(bytes) };
  staged.set(key, [file, stateFile]);
  const arrays = [0, 1, 2].map((index) =>
    words.subarray(index * words.length / 3, (index + 1) * words.length / 3)
  );
  stagedStates.set(key, {
    ...stateFile,
    digest: digestOfArrays([arrays[0]!, arrays[1]!, arrays[2]!]),
    readWords: (offset, count) => Promise.resolve(words.slice(offset, offset + count)),
  });
  return [file, stateFile];
}
