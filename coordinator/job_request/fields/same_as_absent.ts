/** Values with which the libraries do what they do without the field: they leave no trace in a job's specification. */
import { isDeepStrictEqual } from "node:util";

const SAME_AS_ABSENT: Readonly<Record<string, readonly unknown[]>> = {
  "lora.init_lora_weights": [true],
  "lora.exclude_modules": [[], ""],
  "lora.layers_to_transform": [[]],
  "lora.layers_pattern": [[], ""],
  "lora.rank_pattern": [{}],
  "lora.alpha_pattern": [{}],
  "training.neftune_noise_alpha": [0],
  "training.label_smoothing_factor": [0],
  "training.lr_scheduler_kwargs": [{}],
  "training.eval_delay": [0],
  "training.eval_on_start": [false],
  "training.per_device_eval_batch_size": [8],
  "training.load_best_model_at_end": [false],
};

export function isSameAsAbsent(path: string, value: unknown): boolean {
  return Object.hasOwn(SAME_AS_ABSENT, path) &&
    SAME_AS_ABSENT[path]!.some((same) => isDeepStrictEqual(same, value));
}
