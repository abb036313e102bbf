/** Fields of `BitsAndBytesConfig`, and arguments of transformers' and Unsloth's `from_pretrained`. */
import { alias, all, explained, type FieldRules, meaningless, only, without } from "./rule.ts";
import {
  AS_STORED,
  CHECKPOINTING,
  COMPUTE,
  IN_FLIGHT,
  OWN_KERNELS,
  PLACEMENT,
  REMOTE_CODE,
} from "./reasons.ts";

const FOUR_BITS = "base models are quantised to 4 bits (NF4)";

export const QUANTIZATION_RULES: FieldRules = {
  use_4bit: alias("quantization.load_in_4bit"),
  use_nested_quant: alias("quantization.bnb_4bit_use_double_quant"),
  _load_in_4bit: alias("quantization.load_in_4bit"),
  ...all("load_in_8bit _load_in_8bit", only([false], FOUR_BITS)),
  ...all("load_in_16bit full_finetuning", only([false], "adapters are trained on a base model in NF4")),
  bnb_4bit_quant_storage: explained("two codes are packed into a byte", ["uint8", "torch.uint8"]),
  quant_method: only(["bitsandbytes"], "base models are quantised as bitsandbytes does it (NF4)"),
  ...without(
    "it belongs to load_in_8bit, which is refused",
    "llm_int8_threshold llm_int8_enable_fp32_cpu_offload llm_int8_has_fp16_weight",
  ),
  llm_int8_skip_modules: only([["lm_head"], []], "every linear layer except lm_head is quantised", {
    means: skipsOnlyHead,
  }),
  max_seq_length: alias("dataset.max_seq_length"),
  ...all("dtype torch_dtype", explained(COMPUTE)),
  ...without(PLACEMENT, "device_map low_cpu_mem_usage offload_embedding"),
  attn_implementation: meaningless(OWN_KERNELS),
  trust_remote_code: meaningless(REMOTE_CODE),
  model_name: explained("the job's model is the base model"),
  use_gradient_checkpointing: explained(CHECKPOINTING, [true, "unsloth"]),
  random_state: explained("the job's seed starts the adapter"),
  rope_scaling: only([], AS_STORED, {
    instead: "leave it out and set rope_scaling in the model's config.json",
  }),
  resize_model_vocab: only([], AS_STORED, { instead: "leave it out and resize the model before the job" }),
  revision: only(["main"], AS_STORED, {
    instead: 'leave it out and write the revision behind the model\'s name, as in "org/name@revision"',
  }),
  token: only([], "a token has no place in a job; the coordinator's own reads the hub", {
    instead: "leave it out and start the coordinator with HF_TOKEN",
  }),
  fix_tokenizer: meaningless("the tokenizer is used as it is stored"),
  use_exact_model_name: meaningless("the model's name is never replaced by another"),
  ...without(
    IN_FLIGHT,
    "use_cache fast_inference gpu_memory_utilization float8_kv_cache max_lora_rank disable_log_stats",
  ),
};

/**
 * Whether a list of modules to skip excludes lm_head and no other layer of a text model; configurations of vision models also
 * name their towers and projectors. Matches as transformers does: a name, or the beginning or end of a full one.
 */
function skipsOnlyHead(value: unknown): boolean {
  if (!Array.isArray(value) || !value.includes("lm_head")) return false;
  const linear = [
    ...["q_proj", "k_proj", "v_proj", "o_proj"].map((name) => `model.layers.0.self_attn.${name}`),
    ...["gate_proj", "up_proj", "down_proj"].map((name) => `model.layers.0.mlp.${name}`),
  ];
  return value.every((name) =>
    name === "lm_head" ||
    (typeof name === "string" && /^\w+$/.test(name) &&
      !linear.some((whole) => whole.startsWith(name) || whole.endsWith(name)))
  );
}
