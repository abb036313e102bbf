/** What sets the Gemma family apart: norms around norms, scaled embeddings, soft caps, windows in most layers. */
import { type ConfigJson, refuse } from "./config_json.ts";
import { alternatingAttention } from "./layer_attention.ts";
import type { FamilyTraits } from "./transformer_spec.ts";

type GemmaTraits = Omit<FamilyTraits, "attentionBias" | "outputBias">;

/** Every second layer has a window, the first one among them. */
export function gemma2Traits(config: ConfigJson): GemmaTraits {
  return {
    ...commonTraits(config),
    ...alternatingAttention(config, { pattern: 2, localRope: 0 }),
    queryKeyNorm: false,
    attentionSoftCap: config.attn_logit_softcapping ?? null,
  };
}

/** All but every sixth layer have a window, and turn queries and keys by angles of their own. */
export function gemma3Traits(config: ConfigJson): GemmaTraits {
  return {
    ...commonTraits(config),
    ...alternatingAttention(config, { pattern: config.sliding_window_pattern ?? 6, localRope: 1 }),
    queryKeyNorm: true,
    // transformers reads attn_logit_softcapping of Gemma 3 and never applies it.
    attentionSoftCap: null,
  };
}

function commonTraits(config: ConfigJson) {
  if (config.use_bidirectional_attention) {
    throw refuse("use_bidirectional_attention", true, "only causal attention is trained, so only false is");
  }
  return {
    mlpBias: false,
    fusedProjections: false,
    activation: "gelu_pytorch_tanh",
    postNorms: true,
    normOffset: 1,
    // transformers rounds the factor to the embeddings' dtype; they are computed with in f32 here, whatever the checkpoint stores.
    embeddingScale: Math.fround(Math.sqrt(config.hidden_size)),
    attentionScale: 1 / Math.sqrt(config.query_pre_attn_scalar ?? 256),
    logitSoftCap: config.final_logit_softcapping ?? null,
  } as const;
}

/**
 * config.json as a model with one way to rotate would have it, for Gemma 3's layers without a window and for those with one. The
 * older spelling, `rope_scaling`, is that of the former alone.
 */
export function gemma3Ropes(config: ConfigJson): [global: ConfigJson, local: ConfigJson] {
  const { rope_parameters: sections, rope_theta: theta = 1_000_000 } = config;
  const sectionOf = (type: "full_attention" | "sliding_attention") =>
    sections?.[type] && { ...sections[type], full_attention: undefined, sliding_attention: undefined };
  return [
    { ...config, rope_parameters: sectionOf("full_attention"), rope_theta: theta },
    {
      ...config,
      rope_parameters: sectionOf("sliding_attention"),
      rope_scaling: undefined,
      rope_theta: config.rope_local_base_freq ?? 10_000,
    },
  ];
}
