/** What a user can change about a fine-tune that does not fit: for each part of the memory plan, and for the largest of them. */
import type { LoraPlan } from "./lora.ts";
import { formatBytes, type MemoryPlan, type PlanGroup, type PlanOptions } from "./memory_plan.ts";
import { linearModules, type TransformerSpec } from "./transformer_spec.ts";

/** What a user can change about each part. */
export function adviceOf(spec: TransformerSpec, lora: LoraPlan, options: PlanOptions) {
  const fewerTokens = options.training
    ? `lower training.per_device_train_batch_size or dataset.max_seq_length (micro-batches have up to ${options.maxTokens} ` +
      `tokens)`
    : `evaluate shorter rows (up to ${options.maxTokens} tokens go through the model at once)`;
  const keepsAll = options.training && !options.gradientCheckpointing;
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
      advice: keepsAll ? `set training.gradient_checkpointing to true, or ${fewerTokens}` : fewerTokens,
      isFixed: false,
    },
    workspace: { advice: fewerTokens, isFixed: false },
  };
}

/** About the largest part; where that is the base model, which is as it is, about the largest of the others, too. */
export function adviceFor({ groups, totalBytes }: MemoryPlan, budgetBytes: number): string {
  const largestOf = (some: readonly PlanGroup[]) =>
    some.reduce((most, group) => group.bytes > most.bytes ? group : most);
  const about = ({ name, bytes, advice }: PlanGroup) =>
    `${name} (${formatBytes(bytes)}): to save memory there, ${advice}.`;
  const fixed = groups.filter(({ isFixed }) => isFixed);
  const fixedBytes = fixed.reduce((sum, { bytes }) => sum + bytes, 0);
  const rest = largestOf(groups.filter(({ isFixed }) => !isFixed));
  if (fixedBytes > budgetBytes) {
    return `The base model alone takes ${formatBytes(fixedBytes)}: ${largestOf(fixed).advice}.`;
  }
  if (fixedBytes <= totalBytes - fixedBytes) return `The largest part is ${about(rest)}`;
  return `The largest part is the base model with ${
    formatBytes(fixedBytes)
  }, which fits; the largest of what the job adds is ` +
    about(rest);
}
