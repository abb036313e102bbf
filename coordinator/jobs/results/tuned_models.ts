/** Jobs' results as models: `ft:<base model>:<suffix>:<job>`, and `:ckpt-step-<step>` after it for each checkpoint. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { checkpointModelName, fineTunedModelName, type JobRecord, resultStepOf } from "../record/job.ts";
import type { CheckpointRecord, JobStore } from "../stores/job_store.ts";

/** The file of an adapter's tensors, as PEFT names it. */
export const ADAPTER_FILENAME = "adapter_model.safetensors";

interface TunedModel {
  readonly name: string;
  readonly job: JobRecord;
  /** Holds the model's adapter. */
  readonly checkpoint: CheckpointRecord;
  readonly createdAt: number;
}

/** More checkpoints than any job writes. */
const ALL = 100_000;

/** Null if no job made a model of that name, or it is deleted. */
export function findTunedModel(store: JobStore, name: string): TunedModel | null {
  const [, jobId, step] = /^ft:.*:(ftjob-[A-Za-z0-9]+)(?::ckpt-step-([0-9]{1,15}))?$/s.exec(name) ?? [];
  const job = jobId === undefined ? null : store.job(jobId);
  if (job === null || job.deletedModels.includes(name)) return null;
  if (step === undefined) return job.fineTunedModel === name ? finalModel(store, job) : null;
  const checkpoint = checkpointOf(store, job, Number(step));
  if (checkpoint === null || checkpointModelName(job, checkpoint.step) !== name) return null;
  return { name, job, checkpoint, createdAt: checkpoint.createdAt };
}

/** As `findTunedModel`, but throws `model_not_found`. */
export function tunedModel(store: JobStore, name: string): TunedModel {
  const found = findTunedModel(store, name);
  if (found !== null) return found;
  throw noModel(name);
}

export function noModel(name: string): LoraFleetError {
  const message = `no model ${quote(name)}; GET /v1/models lists all`;
  return new LoraFleetError("model_not_found", message, { param: "model" });
}

/** The undeleted names of a model's adapter: the last checkpoint and the job's result share one. */
export function namesOfAdapter({ job, checkpoint: { step } }: TunedModel): readonly string[] {
  const names = [checkpointModelName(job, step)];
  if (job.fineTunedModel !== null && step === resultStepOf(job)) names.push(job.fineTunedModel);
  return names.filter((name) => !job.deletedModels.includes(name));
}

function finalModel(store: JobStore, job: JobRecord): TunedModel | null {
  const step = resultStepOf(job);
  const checkpoint = step === null ? null : checkpointOf(store, job, step);
  if (checkpoint === null) return null;
  return { name: fineTunedModelName(job), job, checkpoint, createdAt: job.finishedAt ?? job.createdAt };
}

function checkpointOf(store: JobStore, { id }: JobRecord, step: number): CheckpointRecord | null {
  const { items } = store.checkpoints(id, { after: null, limit: ALL });
  return items.find((found) => found.step === step) ?? null;
}
