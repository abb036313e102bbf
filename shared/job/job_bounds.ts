/**
 * How large a job's numbers may be. Each bound is what the fleet can carry, far beyond any real job, so that a typing
 * error of nine zeros is refused by its field at once. Not part of the schema: a record of an earlier version stays readable.
 */
import { LoraFleetError } from "../errors.ts";
import type { JobSpec } from "./job_spec_schema.ts";

/** Steps of a job, whether `max_steps` says so or the epochs come to it. */
export const MAX_JOB_STEPS = 1_000_000;

export interface Bound {
  /** `training.max_steps` */
  readonly path: string;
  readonly max: number;
  readonly why: string;
}

const BOUNDS: readonly Bound[] = Object.entries<readonly [max: number, why: string]>({
  "training.num_train_epochs": [
    10_000,
    "more passes over the data than that train nothing new; training.max_steps takes a count of steps",
  ],
  "training.max_steps": [MAX_JOB_STEPS, "every step leaves its metrics in the job's record"],
  "training.warmup_steps": [MAX_JOB_STEPS, "no job has more steps"],
  "training.save_steps": [
    MAX_JOB_STEPS,
    'no job has more steps; training.save_strategy "no" keeps the last checkpoint alone',
  ],
  "training.per_device_train_batch_size": [
    4096,
    "the rows of a micro-batch lie in one GPU's memory at the same time; training.gradient_accumulation_steps makes " +
    "larger steps",
  ],
  "training.gradient_accumulation_steps": [
    16_384,
    "the coordinator follows every micro-batch of a step by itself",
  ],
  "training.learning_rate": [1000, "an update moves a weight by about the learning rate"],
  "training.neftune_noise_alpha": [
    1000,
    "the paper's values are 5 to 15, and noise beyond that drowns the embeddings",
  ],
  "training.weight_decay": [1000, "each update takes learning_rate · weight_decay of every weight away"],
  "fleet.local_steps.outer_learning_rate": [1000, "the replicas' mean change is multiplied by it"],
  "dataset.max_seq_length": [2 ** 20, "no supported base model has so many positions"],
  "lora.r": [16_384, "no supported base model has a layer whose smaller side is larger"],
  "lora.rank_pattern": [16_384, "no supported base model has a layer whose smaller side is larger"],
  "lora.alpha_pattern": [1_000_000, "the adapter's result is multiplied by alpha / r in 32 bits"],
  "lora.lora_alpha": [1_000_000, "the adapter's result is multiplied by lora_alpha / r in 32 bits"],
}).map(([path, [max, why]]) => ({ path, max, why }));

/** The number at a bound's path, or the largest one of its object; 0 inside a null object (`fleet.local_steps`). */
export function boundedValue(spec: JobSpec, { path }: Bound): number {
  const at = (fields: unknown, name: string) => (fields as Record<string, unknown> | null)?.[name];
  const found = path.split(".").reduce(at, spec as unknown) ?? 0;
  return Math.max(...Object.values(typeof found === "object" ? found : { found }) as number[]);
}

/** The bound of a field, if it has one. */
export function boundOf(path: string): Bound | null {
  return BOUNDS.find((bound) => bound.path === path) ?? null;
}

/** The first bound that the job's configuration exceeds. */
export function exceededBound(spec: JobSpec): Bound | null {
  return BOUNDS.find((bound) => boundedValue(spec, bound) > bound.max) ?? null;
}

/** For a record that an earlier release wrote or a person edited. Throws a `LoraFleetError` with code `invalid_request`. */
export function assertWithinBounds(spec: JobSpec): void {
  const bound = exceededBound(spec);
  if (bound === null) return;
  const { path, max, why } = bound;
  throw new LoraFleetError(
    "invalid_request",
    `${path} is ${boundedValue(spec, bound)}; it may be at most ${max}: ${why}`,
    { param: path },
  );
}
