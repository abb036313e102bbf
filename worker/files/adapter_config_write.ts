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
  arrow_config: null,
  auto_mapping: null,
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  fan_in_fan_out: false,
  kasa_config: null,
  layer_replication: null,
  loftq_config: new Map(),
  lora_bias: false,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: "megatron.core",
  modules_to_save: null,
  monteclora_config: null,
  qalora_group_size: 16n,
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
  // Beside a part that sees images, a short name or a pattern would match layers there, which carry no LoRA.
  const hasVision = moduleNames.some((name) => name.startsWith("model.language_model."));
  const listed = isAllLinear(targets) || hasVision ? moduleNames : targets;
  const fields: Record<string, Value> = {
    ...UNUSED_FIELDS,
    alpha_pattern: valueOf(lora.alpha_pattern ?? {}),
    base_model_name_or_path: baseModelName,
    bias: lora.bias,
    exclude_modules: setOf(lora.exclude_modules),
    inference_mode: true,
    init_lora_weights: lora.init_lora_weights ?? true,
    layers_pattern: valueOf(lora.layers_pattern),
    layers_to_transform: valueOf(lora.layers_to_transform),
    lora_alpha: valueOf(alpha),
    lora_dropout: lora.lora_dropout,
    peft_type: "LORA",
    peft_version: PEFT_VERSION,
    r: BigInt(lora.r),
    rank_pattern: valueOf(lora.rank_pattern ?? {}),
    revision: lora.revision ?? null,
    target_modules: setOf(listed),
    task_type: lora.task_type,
    use_rslora: lora.use_rslora,
  };
  return dumps(new Map(Object.entries(fields)), { sortKeys: true, indent: 2, ensureAscii: true });
}

/** Names that PEFT keeps as a set. */
function setOf(names: string | readonly string[] | undefined): Value {
  if (names === undefined || typeof names === "string") return names ?? null;
  return [...new Set(names)].sort();
}

/** As Python has it: a whole number is an int. */
function valueOf(
  value: undefined | string | number | readonly (string | number)[] | Record<string, number>,
): Value {
  if (value === undefined) return null;
  if (typeof value === "string") return value;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(valueOf);
  return new Map(Object.entries(value).map(([key, inner]) => [key, valueOf(inner)]));
}
