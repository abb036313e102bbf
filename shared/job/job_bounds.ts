/**
 * How large a job's numbers may be. Each bound is what the fleet can carry, far beyond what anybody trains with, so that a typing
 * error of nine zeros is refused by its field at once. Not part of the schema: a record of an earlier version stays readable.
 */
import { LoraFleetError } from "../errors.ts";
import type { JobSpec } from "./job_spec_schema.ts";

/** Steps of a job, whether `max_steps` says so or the epochs come to it. */
export const MAX_JOB_STEPS = 1_000_000;

export interface Bound {
  /** `training.max_steps` */
  readonly path: string;
  readonly most: number;
  readonly why: string;
  readonly valueOf: (spec: JobSpec) => number;
}

const STEPS = "every step leaves its metrics in the job's record";

const BOUNDS: readonly Bound[] = [
  {
    path: "training.num_train_epochs",
    most: 10_000,
    why: "more passes over the data than that train nothing new; training.max_steps takes a count of steps",
    valueOf: ({ training }) => training.num_train_epochs,
  },
  {
    path: "training.max_steps",
    most: MAX_JOB_STEPS,
    why: STEPS,
    valueOf: ({ training }) => training.max_steps,
  },
  {
    path: "training.warmup_steps",
    most: MAX_JOB_STEPS,
    why: "no job has more steps",
    valueOf: ({ training }) => training.warmup_steps,
  },
  {
    path: "training.save_steps",
    most: MAX_JOB_STEPS,
    why: 'no job has more steps; training.save_strategy "no" keeps the last checkpoint alone',
    valueOf: ({ training }) => training.save_steps,
  },
  {
    path: "training.per_device_train_batch_size",
    most: 4096,
    why:
      "the rows of a micro-batch lie in one GPU's memory at the same time; training.gradient_accumulation_steps makes " +
      "larger steps",
    valueOf: ({ training }) => training.per_device_train_batch_size,
  },
  {
    path: "training.gradient_accumulation_steps",
    most: 16_384,
    why: "the coordinator follows every micro-batch of a step by itself",
    valueOf: ({ training }) => training.gradient_accumulation_steps,
  },
  {
    path: "training.learning_rate",
    most: 1000,
    why: "an update moves a weight by about the learning rate",
    valueOf: ({ training }) => training.learning_rate,
  },
  {
    path: "training.weight_decay",
    most: 1000,
    why: "each update takes learning_rate · weight_decay of every weight away",
    valueOf: ({ training }) => training.weight_decay,
  },
  {
    path: "fleet.local_steps.outer_learning_rate",
    most: 1000,
    why: "the replicas' mean change is multiplied by it",
    valueOf: ({ fleet }) => fleet.local_steps?.outer_learning_rate ?? 0,
  },
  {
    path: "dataset.max_seq_length",
    most: 2 ** 20,
    why: "no supported base model has so many positions",
    valueOf: ({ dataset }) => dataset.max_seq_length,
  },
  {
    path: "lora.r",
    most: 16_384,
    why: "no supported base model has a layer whose smaller side is larger",
    valueOf: ({ lora }) => lora.r,
  },
  {
    path: "lora.lora_alpha",
    most: 1_000_000,
    why: "the adapter's result is multiplied by lora_alpha / r in 32 bits",
    valueOf: ({ lora }) => lora.lora_alpha,
  },
];

/** The bound of a field, where it has one. */
export function boundOf(path: string): Bound | null {
  return BOUNDS.find((bound) => bound.path === path) ?? null;
}

/** The first bound that the job's configuration exceeds. */
export function exceededBound(spec: JobSpec): Bound | null {
  return BOUNDS.find(({ most, valueOf }) => valueOf(spec) > most) ?? null;
}

/** For a record that an earlier release wrote or a person edited. Throws a `LoraFleetError` with code `invalid_request`. */
export function assertWithinBounds(spec: JobSpec): void {
  const bound = exceededBound(spec);
  if (bound === null) return;
  const { path, most, why, valueOf } = bound;
  throw new LoraFleetError(
    "invalid_request",
    `${path} is ${valueOf(spec)}; it may be at most ${most}: ${why}`,
    { param: path },
  );
}
