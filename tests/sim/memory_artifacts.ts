/** The artifact store of a simulation: what a disk would keep, without its waiting. */
import type { ArtifactStore, StoredState } from "../../coordinator/storage/artifact_store.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { sha256Of } from "../../coordinator/storage/streamed_file.ts";
import type { CheckpointFile } from "../../coordinator/storage/checkpoint_file.ts";

export interface MemoryArtifacts extends ArtifactStore {
  /** Uploads a step's adapter and state, and tells the files as a worker would. They count when they are accepted. */
  store(
    jobId: string,
    step: number,
    writer: string,
    adapter: Uint8Array,
    state: Int32Array,
  ): CheckpointFile[];
}

export function createMemoryArtifacts(): MemoryArtifacts {
  const adapters = new Map<string, CheckpointFile>();
  const states = new Map<string, { readonly step: number; readonly state: StoredState }>();
  /** On their way, by job, step and writer. */
  const staged = new Map<string, readonly CheckpointFile[]>();
  const stagedStates = new Map<string, StoredState>();
  const keyOf = (jobId: string, step: number) => `${jobId}/${step}`;
  const unused = () => Promise.reject(new LoraFleetError("storage", "a simulation stores by `store` alone"));
  return {
    put: unused,
    accept: (jobId, step, writer, wanted, { digest }) => {
      const from = `${keyOf(jobId, step)}/${writer}`;
      const files = staged.get(from) ?? [];
      const missing = wanted.find((file) => !files.some(({ sha256 }) => sha256 === file.sha256));
      if (missing !== undefined) {
        return Promise.resolve({ fault: `${missing.name} has not arrived at the coordinator` });
      }
      const state = stagedStates.get(from)!;
      // Of a model of workers, which have no state, the digest is none of these bytes.
      if (state.size > digest.length / 2 && state.sha256 !== digest) {
        return Promise.resolve({ fault: `the training state has the digest ${state.sha256}, not ${digest}` });
      }
      adapters.set(keyOf(jobId, step), files.find(({ name }) => name === "adapter_model.safetensors")!);
      states.set(keyOf(jobId, step), { step, state });
      staged.clear();
      stagedStates.clear();
      return Promise.resolve({ files });
    },
    path: (jobId, step, { name }) =>
      adapters.get(keyOf(jobId, step))?.name === name ? Promise.resolve(name) : unused(),
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
    // As a disk's: the initial adapter has no checkpoint that could be asked for.
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
    store: (jobId, step, writer, adapter, state) => {
      const words = state.slice();
      const file = { name: "adapter_model.safetensors", size: adapter.length, sha256: sha256Of(adapter) };
      const bytes = new Uint8Array(words.buffer);
      const stateFile = { name: "training_state.safetensors", size: bytes.length, sha256: sha256Of(bytes) };
      const key = `${keyOf(jobId, step)}/${writer}`;
      staged.set(key, [file, stateFile]);
      stagedStates.set(key, {
        ...stateFile,
        readWords: (offset, count) => Promise.resolve(words.slice(offset, offset + count)),
      });
      return [file, stateFile];
    },
  };
}
