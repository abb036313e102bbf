/** The fields of Hugging Face's `config.json` that lorafleet reads, and the error for an unsupported one. */
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";

const size = z.int().positive();
const positive = z.number().positive();

/** Absent or null, which mean the same: transformers writes both. */
function optional<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined);
}

/** Both spellings: `rope_theta` + `rope_scaling` (up to transformers 4) and `rope_parameters` (from 5 on). */
const ropeFields = {
  rope_theta: optional(positive),
  rope_type: optional(z.string()),
  type: optional(z.string()),
  factor: optional(positive),
  low_freq_factor: optional(positive),
  high_freq_factor: optional(positive),
  original_max_position_embeddings: optional(size),
  partial_rotary_factor: optional(z.number()),
  attention_factor: optional(positive),
  beta_fast: optional(positive),
  beta_slow: optional(positive),
  mscale: optional(z.number()),
  mscale_all_dim: optional(z.number()),
  truncate: optional(z.boolean()),
  short_factor: optional(z.array(positive)),
  long_factor: optional(z.array(positive)),
};
/** Gemma 3's layers with and without a window rotate differently: in `rope_parameters` they have a section each. */
const ropeSchema = z.looseObject({
  ...ropeFields,
  full_attention: optional(z.looseObject(ropeFields)),
  sliding_attention: optional(z.looseObject(ropeFields)),
});
export type RopeJson = z.output<typeof ropeSchema>;

export const configSchema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: optional(size),
  hidden_act: optional(z.string()),
  hidden_activation: optional(z.string()),
  rms_norm_eps: optional(positive),
  max_position_embeddings: optional(size),
  original_max_position_embeddings: optional(size),
  rope_theta: optional(positive),
  rope_scaling: optional(ropeSchema),
  rope_parameters: optional(ropeSchema),
  rope_local_base_freq: optional(positive),
  partial_rotary_factor: optional(z.number()),
  tie_word_embeddings: optional(z.boolean()),
  attention_bias: optional(z.boolean()),
  mlp_bias: optional(z.boolean()),
  attention_dropout: optional(z.number()),
  resid_pdrop: optional(z.number()),
  sliding_window: size.nullish(),
  use_sliding_window: optional(z.boolean()),
  max_window_layers: optional(z.int().min(0)),
  layer_types: optional(z.array(z.string())),
  sliding_window_pattern: optional(size),
  use_bidirectional_attention: optional(z.boolean()),
  query_pre_attn_scalar: optional(positive),
  attn_logit_softcapping: optional(positive),
  final_logit_softcapping: optional(positive),
  no_rope_layers: optional(z.array(z.int())),
  no_rope_layer_interval: optional(size),
  torch_dtype: optional(z.string()),
  dtype: optional(z.string()),
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
  quantization_config: optional(z.looseObject({})),
});
export type ConfigJson = z.output<typeof configSchema>;

/** An error that names the field; `right` states what is accepted. */
export function refuse(field: string, value: unknown, right: string): LoraFleetError {
  const message = `Reading config.json failed: ${field} is ${quote(value)}; ${right}`;
  return new LoraFleetError("invalid_model", message, { param: field });
}
