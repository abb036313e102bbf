/** The model families: one record each, with all that distinguishes how their config.json is read. */
import type { ConfigJson } from "./config_json.ts";
import { gemma2Traits, gemma3Ropes, gemma3Traits } from "./gemma.ts";
import { attentionByLayer, uniformAttention } from "./layer_attention.ts";
import { smollm3Attention } from "./smollm3.ts";
import type { FamilyTraits } from "./transformer_spec.ts";

export interface Family {
  /** The class of transformers with the output layer. */
  readonly architecture: string;
  /** The part of config.json that describes the language model, if the model sees images as well. */
  readonly section?: "text_config";
  /** What the configuration class of transformers assumes for a field that config.json lacks. */
  readonly defaults: {
    readonly maxPositionEmbeddings: number;
    /** Null: as many as query heads. */
    readonly kvHeadCount: number | null;
    /** Null: hidden_size / num_attention_heads. */
    readonly headDim: number | null;
    readonly eosTokenIds: readonly number[];
    /** Of fields that other families' config.json always has, by their names there. */
    readonly fields?: Readonly<Record<string, unknown>>;
  };
  /** Accepted values of `layer_types`. */
  readonly layerTypes: readonly string[];
  /** @throws LoraFleetError `invalid_model` for a trait that the kernels do not compute */
  traits(config: ConfigJson): FamilyTraits;
  /**
   * If layers rotate in different ways: config.json as a model with each of them alone would have it, in the order of the places
   * that `traits` gives to the layers.
   */
  ropes?(config: ConfigJson): readonly ConfigJson[];
  /** `rope_type` by the names in this family's files, if they are not those of all families. */
  readonly ropeKinds?: Readonly<Record<string, string>>;
  /** Whether `partial_rotary_factor` may leave a part of each head as it is. */
  readonly isPartlyRotated?: boolean;
}

/** What most families do. */
const PLAIN = {
  attentionBias: false,
  outputBias: false,
  mlpBias: false,
  fusedProjections: false,
  queryKeyNorm: false,
  activation: "silu",
  postNorms: false,
  normOffset: 0,
  embeddingScale: 1,
  attentionScale: null,
  attentionSoftCap: null,
  logitSoftCap: null,
} as const satisfies Partial<FamilyTraits>;

const DEFAULTS = { kvHeadCount: null, headDim: null, eosTokenIds: [] };
/** The parts of Gemma's configuration classes that config.json may leave out. */
const GEMMA_FIELDS = {
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  tie_word_embeddings: true,
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
};
const FULL_ATTENTION = ["full_attention"];
const WINDOWED_ATTENTION = ["full_attention", "sliding_attention"];

const GEMMA3: Family = {
  architecture: "Gemma3ForCausalLM",
  defaults: {
    maxPositionEmbeddings: 131_072,
    kvHeadCount: 4,
    headDim: 256,
    eosTokenIds: [1],
    fields: { ...GEMMA_FIELDS, vocab_size: 262_208 },
  },
  layerTypes: WINDOWED_ATTENTION,
  traits: (config) => ({ ...gemma3Traits(config), ...attentionBiases(config) }),
  ropes: gemma3Ropes,
};

/** By config.json's `model_type`, as transformers chooses. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  llama: {
    architecture: "LlamaForCausalLM",
    defaults: { ...DEFAULTS, maxPositionEmbeddings: 2048, eosTokenIds: [2] },
    layerTypes: FULL_ATTENTION,
    traits: (config) => ({
      ...PLAIN,
      ...attentionBiases(config),
      mlpBias: config.mlp_bias ?? false,
      ...uniformAttention(config, null),
    }),
  },
  mistral: {
    architecture: "MistralForCausalLM",
    defaults: { ...DEFAULTS, maxPositionEmbeddings: 131072, kvHeadCount: 8, eosTokenIds: [2] },
    layerTypes: FULL_ATTENTION,
    traits: (config) => ({
      ...PLAIN,
      ...uniformAttention(config, config.sliding_window === undefined ? 4096 : config.sliding_window),
    }),
  },
  qwen2: {
    architecture: "Qwen2ForCausalLM",
    defaults: { ...DEFAULTS, maxPositionEmbeddings: 32768, kvHeadCount: 32 },
    layerTypes: WINDOWED_ATTENTION,
    traits: (config) => ({ ...PLAIN, ...attentionByLayer(config, 4096), attentionBias: true }),
  },
  qwen3: {
    architecture: "Qwen3ForCausalLM",
    defaults: { ...DEFAULTS, maxPositionEmbeddings: 32768, kvHeadCount: 32, headDim: 128 },
    layerTypes: WINDOWED_ATTENTION,
    traits: (config) => ({
      ...PLAIN,
      ...attentionBiases(config),
      ...attentionByLayer(config, 4096),
      queryKeyNorm: true,
    }),
  },
  phi3: {
    architecture: "Phi3ForCausalLM",
    defaults: {
      ...DEFAULTS,
      maxPositionEmbeddings: 4096,
      eosTokenIds: [32000],
      fields: { original_max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
    },
    layerTypes: FULL_ATTENTION,
    traits: (config) => ({
      ...PLAIN,
      ...uniformAttention(config, config.sliding_window ?? null),
      fusedProjections: true,
    }),
    ropeKinds: { default: "default", longrope: "longrope", su: "longrope", yarn: "longrope" },
    isPartlyRotated: true,
  },
  gemma2: {
    architecture: "Gemma2ForCausalLM",
    defaults: {
      maxPositionEmbeddings: 8192,
      kvHeadCount: 4,
      headDim: 256,
      eosTokenIds: [1],
      fields: {
        ...GEMMA_FIELDS,
        vocab_size: 256_000,
        attn_logit_softcapping: 50,
        final_logit_softcapping: 30,
      },
    },
    layerTypes: WINDOWED_ATTENTION,
    traits: (config) => ({ ...gemma2Traits(config), ...attentionBiases(config) }),
  },
  gemma3_text: GEMMA3,
  gemma3: { ...GEMMA3, architecture: "Gemma3ForConditionalGeneration", section: "text_config" },
  smollm3: {
    architecture: "SmolLM3ForCausalLM",
    defaults: {
      ...DEFAULTS,
      maxPositionEmbeddings: 32768,
      kvHeadCount: 4,
      eosTokenIds: [128001],
      fields: { rope_theta: 2e6, tie_word_embeddings: true },
    },
    layerTypes: WINDOWED_ATTENTION,
    traits: (config) => ({
      ...PLAIN,
      ...attentionBiases(config),
      mlpBias: config.mlp_bias ?? false,
      ...smollm3Attention(config),
    }),
  },
};

/** Those of `attention_bias`, in classes that read it. */
function attentionBiases({ attention_bias: has = false }: ConfigJson) {
  return { attentionBias: has, outputBias: has };
}
