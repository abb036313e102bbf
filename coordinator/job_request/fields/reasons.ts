/** Reasons that fields of several groups share. */
export const COMPUTE =
  "workers compute in float32, which is at least as exact, whatever half precision is requested";
export const CHECKPOINTING =
  "a worker recomputes activations if its memory requires it, with bit-identical gradients";
export const PROCESSES = "the fleet distributes a job by itself";
export const AS_STORED = "the base model and its tokenizer are used as they are stored";
export const REMOTE_CODE = "no code of a repository is ever run";
export const OWN_KERNELS = "the workers' kernels are lorafleet's own, so there is nothing to choose";
export const PLACEMENT = "a worker loads the base model onto its own GPU";
export const IN_FLIGHT = "a job trains from exact tokens, so the model is not served while it trains";
