/** How a user makes each part of the memory plan smaller. */
import { linearModules } from "../model/model_tensors.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";
import type { LoraPlan } from "./lora_plan.ts";
import type { PlanOptions } from "./buffer_sizes.ts";

/** Advice and fixedness of each group of the plan. */
export function adviceOf(spec: TransformerSpec, lora: LoraPlan, options: PlanOptions) {
  const fewerTokens = options.training
    ? `lower training.per_device_train_batch_size or dataset.max_seq_length (micro-batches have up to ${options.maxTokens} ` +
      `tokens)`
    : `evaluate shorter rows (up to ${options.maxTokens} tokens go through the model at once)`;
  const keepsMore = options.training && options.keptLayers > 1;
  return {
    base: {
      advice: "choose a smaller base model or a GPU with more memory, since no field of a job changes it",
      isFixed: true,
    },
    adapter: {
      advice:
        `lower lora.r (${lora.rank}) or name fewer layers in lora.target_modules (${lora.modules.size} of ` +
        `${linearModules(spec).length} carry an adapter)`,
      isFixed: false,
    },
    activations: {
      advice: keepsMore ? `set training.gradient_checkpointing to true, or ${fewerTokens}` : fewerTokens,
      isFixed: false,
    },
    workspace: { advice: fewerTokens, isFixed: false },
  };
}
