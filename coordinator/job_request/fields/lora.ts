/** Fields of `LoraConfig`, and arguments of PEFT's and Unsloth's `get_peft_model`. */
import { alias, all, explained, type FieldRules, meaningless, only, without } from "./rule.ts";
import { CHECKPOINTING } from "./reasons.ts";

const PLAIN_LORA = "only plain LoRA (and rsLoRA) adapters are trained";
export const LORA_RULES: FieldRules = {
  lora_r: alias("lora.r"),
  peft_type: only(["LORA"], PLAIN_LORA),
  use_dora: only([false], PLAIN_LORA, {
    instead: "leave it out or set false; a larger lora.r, or lora.use_rslora, is the nearest to it",
  }),
  inference_mode: meaningless("the adapter's own configuration says true, as PEFT writes it", [true, false]),
  fan_in_fan_out: only([false], "weights are [out, in]"),
  modules_to_save: only([[]], "only adapters are trained, no module of the base model"),
  layer_replication: only([[]], "layers are not repeated"),
  target_parameters: only([[]], "adapters are for linear layers, not for single parameters"),
  trainable_token_indices: only([[], {}], "only adapters are trained, no embeddings"),
  lora_bias: only([false], "adapters have no bias"),
  // In PEFT's first versions.
  ...all("merge_weights enable_lora", only([false, []], PLAIN_LORA)),
  ...all("loftq_config eva_config corda_config lora_ga_config velora_config", only([{}], PLAIN_LORA)),
  ...all("monteclora_config arrow_config kasa_config megatron_config", only([{}], PLAIN_LORA)),
  ...all("use_bdlora use_qalora qat_scheme", only([false], PLAIN_LORA)),
  alora_invocation_tokens: only([[]], PLAIN_LORA),
  megatron_core: meaningless("no base model here is built by Megatron"),
  qalora_group_size: meaningless("it belongs to use_qalora, which is refused"),
  ensure_weight_tying: meaningless("embeddings and output layer are not trained, so a tie cannot break"),
  ...without("PEFT keeps it for itself", "runtime_config auto_mapping peft_version"),
  use_gradient_checkpointing: explained(CHECKPOINTING, [true, "unsloth"]),
  random_state: explained("the job's seed starts the adapter"),
  max_seq_length: alias("dataset.max_seq_length"),
  finetune_vision_layers: explained("base models here have no vision layers", [false]),
  ...all(
    "finetune_language_layers finetune_attention_modules finetune_mlp_modules",
    only([], 'name the modules that get an adapter in lora.target_modules ("all-linear" for all of them)'),
  ),
  temporary_location: meaningless("nothing is offloaded to a folder"),
  adapter_name: meaningless("a job trains one adapter"),
  autocast_adapter_dtype: meaningless("adapters are trained and saved in float32"),
  low_cpu_mem_usage: meaningless("an adapter is made in place"),
};
