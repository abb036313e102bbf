/** The files of a checkpoint: the adapter, for users, and the state, for resuming. */

/** As PEFT names them. */
export const ADAPTER_FILE_NAMES: readonly string[] = ["adapter_config.json", "adapter_model.safetensors"];

/**
 * Resumes training bit for bit: a safetensors file of three flat f32 tensors, each in the order of the adapter's tensors,
 * padding included.
 */
export const STATE_FILE_NAME = "training_state.safetensors";

/** In the order of the file, which is also that of recovery. */
export const STATE_TENSOR_NAMES = ["adapter", "exp_avg", "exp_avg_sq"] as const;
