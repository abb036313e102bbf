/** Reads Hugging Face's `config.json` and refuses, by the field's name, what the kernels do not compute. */
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";
import type { Architecture, RopeScaling, TransformerSpec } from "./transformer_spec.ts";

const ARCHITECTURES: readonly Architecture[] = ["LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"];

/** What each family's configuration class in transformers assumes where config.json is silent. */
const FAMILY_DEFAULTS: Record<
  Architecture,
  { maxPositionEmbeddings: number; kvHeadCount: number | null; slidingWindow: number | null; eos: number[] }
> = {
  LlamaForCausalLM: { maxPositionEmbeddings: 2048, kvHeadCount: null, slidingWindow: null, eos: [2] },
  MistralForCausalLM: { maxPositionEmbeddings: 131072, kvHeadCount: 8, slidingWindow: 4096, eos: [2] },
  Qwen2ForCausalLM: { maxPositionEmbeddings: 32768, kvHeadCount: 32, slidingWindow: null, eos: [] },
};

const size = z.int().positive();
const positive = z.number().positive();

/** Absent and null mean the same: transformers writes both. */
function optional<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined);
}

/** Both spellings: `rope_theta` + `rope_scaling` (up to transformers 4) and `rope_parameters` (from 5 on). */
const ropeSchema = z.looseObject({
  rope_theta: optional(positive),
  rope_type: optional(z.string()),
  type: optional(z.string()),
  factor: optional(positive),
  low_freq_factor: optional(positive),
  high_freq_factor: optional(positive),
  original_max_position_embeddings: optional(size),
  partial_rotary_factor: optional(z.number()),
});

const configSchema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: optional(size),
  hidden_act: z.string().default("silu"),
  rms_norm_eps: positive.default(1e-6),
  max_position_embeddings: optional(size),
  rope_theta: optional(positive),
  rope_scaling: optional(ropeSchema),
  rope_parameters: optional(ropeSchema),
  partial_rotary_factor: optional(z.number()),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().default(false),
  layer_types: optional(z.array(z.string())),
  torch_dtype: optional(z.string()),
  dtype: optional(z.string()),
  eos_token_id: z.union([z.int().min(0), z.array(z.int().min(0))]).nullish(),
  quantization_config: optional(z.looseObject({})),
});
type Config = z.output<typeof configSchema>;

/** A refusal that names the field; `right` says what would be accepted. */
function refuse(field: string, value: unknown, right: string): LoraFleetError {
  return new LoraFleetError(
    "invalid_model",
    `Reading config.json failed: ${field} is ${quote(value)}; ${right}.`,
    { param: field },
  );
}

/**
 * @param configJson the parsed `config.json`
 * @throws LoraFleetError `invalid_model`; `param` is the field, such as `hidden_act` or `rope_scaling.rope_type`
 */
export function parseTransformerSpec(configJson: unknown): TransformerSpec {
  const architecture = parseArchitecture(configJson);
  const parsed = configSchema.safeParse(configJson);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const field = issue.path.join(".");
    throw refuse(field, valueAt(configJson, issue.path), issue.message);
  }
  const config = parsed.data;
  const defaults = FAMILY_DEFAULTS[architecture];
  refuseUnsupported(config, architecture);

  const headCount = config.num_attention_heads;
  const kvHeadCount = config.num_key_value_heads === undefined
    ? defaults.kvHeadCount ?? headCount
    : config.num_key_value_heads ?? headCount;
  if (headCount % kvHeadCount !== 0) {
    throw refuse(
      "num_key_value_heads",
      kvHeadCount,
      `it must divide num_attention_heads, which is ${headCount}`,
    );
  }
  if (config.head_dim === undefined && config.hidden_size % headCount !== 0) {
    throw refuse(
      "num_attention_heads",
      headCount,
      `it must divide hidden_size, which is ${config.hidden_size}, where head_dim is not given`,
    );
  }
  const headDim = config.head_dim ?? config.hidden_size / headCount;
  if (headDim % 2 !== 0) {
    throw refuse("head_dim", headDim, "RoPE turns pairs of elements, so it must be even");
  }

  const maxPositionEmbeddings = config.max_position_embeddings ?? defaults.maxPositionEmbeddings;
  const dtype = config.dtype ?? config.torch_dtype ?? null;
  return {
    architecture,
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    layerCount: config.num_hidden_layers,
    headCount,
    kvHeadCount,
    headDim,
    rmsNormEpsilon: config.rms_norm_eps,
    ropeTheta: config.rope_parameters?.rope_theta ?? config.rope_scaling?.rope_theta ?? config.rope_theta ??
      10_000,
    ropeScaling: parseRopeScaling(config, maxPositionEmbeddings),
    maxPositionEmbeddings,
    tieWordEmbeddings: config.tie_word_embeddings,
    attentionBias: architecture === "Qwen2ForCausalLM",
    slidingWindow: parseSlidingWindow(config, architecture),
    torchDtype: parseDtype(dtype, config.dtype === undefined ? "torch_dtype" : "dtype"),
    eosTokenIds: config.eos_token_id === undefined ? defaults.eos : [config.eos_token_id ?? []].flat(),
  };
}

function parseArchitecture(configJson: unknown): Architecture {
  if (typeof configJson !== "object" || configJson === null || Array.isArray(configJson)) {
    throw new LoraFleetError(
      "invalid_model",
      `Reading config.json failed: it holds ${quote(configJson)}, a JSON object is needed.`,
      { param: "config.json" },
    );
  }
  const value: unknown = "architectures" in configJson ? configJson.architectures : undefined;
  const only: unknown = Array.isArray(value) && value.length === 1 ? value[0] : undefined;
  const found = ARCHITECTURES.find((name) => name === only);
  if (found === undefined) {
    throw refuse("architectures", value, `one of ${ARCHITECTURES.map(quote).join(", ")} is supported`);
  }
  return found;
}

function refuseUnsupported(config: Config, architecture: Architecture): void {
  if (config.hidden_act !== "silu") throw refuse("hidden_act", config.hidden_act, `only "silu" is supported`);
  if (config.attention_bias && architecture !== "Qwen2ForCausalLM") {
    throw refuse("attention_bias", true, "a bias on o_proj is not supported, so only false is");
  }
  if (config.mlp_bias) throw refuse("mlp_bias", true, "only false is supported");
  const odd = config.layer_types?.find((type) => type !== "full_attention");
  if (odd !== undefined) throw refuse("layer_types", odd, `only "full_attention" is supported`);
  for (
    const [field, value] of [
      ["partial_rotary_factor", config.partial_rotary_factor],
      ["rope_parameters.partial_rotary_factor", config.rope_parameters?.partial_rotary_factor],
      ["rope_scaling.partial_rotary_factor", config.rope_scaling?.partial_rotary_factor],
    ] as const
  ) {
    if (value !== undefined && value !== 1) throw refuse(field, value, "only 1 is supported");
  }
  if (config.quantization_config !== undefined) refuseQuantization(config.quantization_config);
}

/** A checkpoint that bitsandbytes stored in NF4 loads as it is; any other quantisation does not. */
function refuseQuantization(quantization: Record<string, unknown>): void {
  const needed: Record<string, unknown> = {
    quant_method: "bitsandbytes",
    load_in_4bit: true,
    bnb_4bit_quant_type: "nf4",
  };
  for (const [key, value] of Object.entries(needed)) {
    if (quantization[key] !== value) {
      throw refuse(
        `quantization_config.${key}`,
        quantization[key],
        `only bitsandbytes' NF4 (${key}: ${
          quote(value)
        }) is supported, or a checkpoint that is not quantised`,
      );
    }
  }
  const storage = quantization["bnb_4bit_quant_storage"] ?? "uint8";
  if (storage !== "uint8") {
    throw refuse("quantization_config.bnb_4bit_quant_storage", storage, `only "uint8" is supported`);
  }
}

function parseRopeScaling(config: Config, maxPositionEmbeddings: number): RopeScaling | null {
  const section = config.rope_parameters === undefined ? "rope_scaling" : "rope_parameters";
  const rope = config.rope_parameters ?? config.rope_scaling;
  if (rope === undefined) return null;
  const kind = rope.rope_type ?? rope.type ?? "default";
  const need = (key: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = rope[key];
    if (value === undefined) throw refuse(`${section}.${key}`, value, `rope_type ${quote(kind)} needs it`);
    return value;
  };
  if (kind === "default") return null;
  if (kind === "linear") return { kind, factor: need("factor") };
  if (kind === "llama3") {
    const lowFrequencyFactor = need("low_freq_factor");
    const highFrequencyFactor = need("high_freq_factor");
    if (highFrequencyFactor <= lowFrequencyFactor) {
      throw refuse(
        `${section}.high_freq_factor`,
        highFrequencyFactor,
        `it must exceed low_freq_factor, which is ${lowFrequencyFactor}`,
      );
    }
    return {
      kind,
      factor: need("factor"),
      lowFrequencyFactor,
      highFrequencyFactor,
      originalMaxPositions: rope.original_max_position_embeddings ?? maxPositionEmbeddings,
    };
  }
  throw refuse(`${section}.rope_type`, kind, `"default", "linear" and "llama3" are supported`);
}

function parseSlidingWindow(config: Config, architecture: Architecture): number | null {
  if (architecture === "Qwen2ForCausalLM") {
    if (config.use_sliding_window) throw refuse("use_sliding_window", true, "only false is supported");
    return null;
  }
  if (architecture === "LlamaForCausalLM") return null;
  return config.sliding_window === undefined
    ? FAMILY_DEFAULTS[architecture].slidingWindow
    : config.sliding_window;
}

function parseDtype(dtype: string | null, field: string): TransformerSpec["torchDtype"] {
  switch (dtype) {
    case null:
    case "float32":
    case "float16":
    case "bfloat16":
      return dtype;
    default:
      throw refuse(field, dtype, `"float32", "float16" and "bfloat16" are supported`);
  }
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at: unknown = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = Reflect.get(at, key);
  }
  return at;
}
