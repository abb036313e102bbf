/** The stored training state of an earlier job, as the state that a new job begins with. */
import { LoraFleetError } from "../../../shared/errors.ts";
import type { AdapterLayout } from "../../planning/adapter_layout.ts";
import type { InitialState } from "../../planning/initial_adapter.ts";
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import type { CheckpointRecord, JobStore } from "../stores/job_store.ts";

/** More checkpoints than any job writes. */
const ALL = 100_000;

/** The newest state that a job has stored with what goes on from it; null if there is none that can be read. */
export async function newestStoredState(
  { store, artifacts }: {
    readonly store: Pick<JobStore, "checkpoints">;
    readonly artifacts: Pick<ArtifactStore, "state">;
  },
  jobId: string,
  layout: AdapterLayout,
): Promise<InitialState | null> {
  const { items } = store.checkpoints(jobId, { after: null, limit: ALL });
  for (const checkpoint of items.toSorted((a, b) => b.step - a.step)) {
    const digest = checkpoint.commit?.digest;
    if (digest === undefined) continue;
    const state = await openResumedState(artifacts, jobId, checkpoint, digest, layout).catch(() => null);
    if (state !== null) return state;
  }
  return null;
}

/** Rejects with `invalid_model` if the state is gone, or not one of this layout; with `corrupt` if it is damaged. */
export async function openResumedState(
  artifacts: Pick<ArtifactStore, "state">,
  jobId: string,
  { step, commit = null }: CheckpointRecord,
  digest: string,
  { elementCount }: AdapterLayout,
): Promise<InitialState> {
  const state = await artifacts.state(jobId, step);
  const misfit = (why: string) => {
    const message = `the training state of step ${step} of job ${jobId} ${why}`;
    return new LoraFleetError("invalid_model", message, { param: "training.resume_from_checkpoint" });
  };
  if (state === null || commit === null) {
    throw misfit("is not stored any more; submit the job again to go on from its adapter");
  }
  if (commit.digest !== digest) throw misfit(`has the digest ${commit.digest}, but ${digest} was recorded`);
  const words = 3 * elementCount;
  if ((await state.readWords(words - 1, 2)).length !== 1) {
    throw misfit(`does not fit the base model as it is now: it does not have ${words} numbers`);
  }
  return { digest, step, maxAbs: commit.maxAbs, readWords: state.readWords };
}
