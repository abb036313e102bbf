/**
 * Fields of transformers, PEFT, TRL and bitsandbytes that existing scripts set and that a JobSpec does not have: each is an
 * alias, is accepted only with values that describe what lorafleet does, or has no effect. docs/fields.md is made from these
 * tables (document.ts).
 */
import { DATASET_RULES } from "./fields/dataset.ts";
import { LORA_RULES } from "./fields/lora.ts";
import { QUANTIZATION_RULES } from "./fields/quantization.ts";
import type { FieldRules } from "./fields/rule.ts";
import { TRAINING_RULES } from "./fields/training.ts";

export const GROUPS = ["lora", "quantization", "training", "dataset", "fleet"] as const;
export type Group = (typeof GROUPS)[number];

export const FIELD_RULES: Record<Group, FieldRules> = {
  lora: LORA_RULES,
  quantization: QUANTIZATION_RULES,
  training: TRAINING_RULES,
  dataset: DATASET_RULES,
  fleet: {},
};

/** Aliases of values: spelling in scripts → spelling in the spec. */
export const VALUE_ALIASES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "lora.init_lora_weights": { Gaussian: "gaussian" },
  "training.gradient_checkpointing": { unsloth: true },
  "training.metric_for_best_model": {
    eval_loss: "loss",
    eval_mean_token_accuracy: "mean_token_accuracy",
  },
  "quantization.bnb_4bit_compute_dtype": {
    "torch.float32": "float32",
    "torch.float16": "float16",
    "torch.bfloat16": "bfloat16",
    fp32: "float32",
    fp16: "float16",
    bf16: "bfloat16",
  },
  "training.optim": {
    adamw_torch_fused: "adamw_torch",
    adamw_torch_xla: "adamw_torch",
    adamw_torch_npu_fused: "adamw_torch",
    adamw_apex_fused: "adamw_torch",
    adamw_hf: "adamw_torch",
    paged_adamw: "paged_adamw_32bit",
  },
};
