/** Writes `adapter_config.json`: all fields of PEFT's LoraConfig, in PEFT's formatting. */
import type { LoraSpec } from "../../shared/job/job_spec_schema.ts";
import { isAllLinear } from "../../shared/job/target_modules.ts";
import { dumps } from "../../shared/python/json/dumps.ts";
import type { Value } from "../../shared/python/values/value.ts";

/** The version of PEFT whose fields these are. */
const PEFT_VERSION = "0.21.2";

/** The fields of LoraConfig that a LoraSpec lacks, at their "not used" values. */
const UNUSED_FIELDS: Readonly<Record<string, Value>> = {
  alora_invocation_tokens: null,
  alpha_pattern: new Map(),
  arrow_config: null,
  auto_mapping: null,
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: new Map(),
  lora_bias: false,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: "megatron.core",
  modules_to_save: null,
  monteclora_config: null,
  qalora_group_size: 16n,
  rank_pattern: new Map(),
  target_parameters: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  velora_config: null,
};

/**
 * The file's text as PEFT writes it: sorted keys, two spaces, no newline at the end. PEFT keeps `target_modules` as a set
 * and writes it in no order; here it is sorted. As in PEFT, "all-linear" becomes the modules' names and a pattern stays one.
 * @param moduleNames the modules that carry LoRA, by their names in the base model
 */
export function formatAdapterConfig(
  lora: LoraSpec,
  baseModelName: string,
  moduleNames: readonly string[],
): string {
  const { target_modules: targets, lora_alpha: alpha } = lora;
  const listed = isAllLinear(targets) ? moduleNames : targets;
  const fields: Record<string, Value> = {
    ...UNUSED_FIELDS,
    base_model_name_or_path: baseModelName,
    bias: lora.bias,
    inference_mode: true,
    lora_alpha: Number.isInteger(alpha) ? BigInt(alpha) : alpha,
    lora_dropout: lora.lora_dropout,
    peft_type: "LORA",
    peft_version: PEFT_VERSION,
    r: BigInt(lora.r),
    revision: lora.revision ?? null,
    target_modules: typeof listed === "string" ? listed : [...new Set(listed)].sort(),
    task_type: lora.task_type,
    use_rslora: lora.use_rslora,
  };
  return dumps(new Map(Object.entries(fields)), { sortKeys: true, indent: 2, ensureAscii: true });
}
