/** The files of a checkpoint: what a user gets, and what training goes on from. */

/** As PEFT names them. */
export const ADAPTER_FILE_NAMES: readonly string[] = ["adapter_config.json", "adapter_model.safetensors"];

/**
 * The state of a step, from which training goes on with the same bits: a safetensors file with three tensors of f32, each a flat
 * array in the order of the adapter's tensors, padding included, one behind the other without a gap.
 */
export const STATE_FILE_NAME = "training_state.safetensors";

/** The state's tensors in the order in which they lie in the file, which is also that of workers that recover. */
export const STATE_TENSOR_NAMES = ["adapter", "exp_avg", "exp_avg_sq"] as const;
