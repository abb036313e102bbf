/** Reads Hugging Face's `config.json` and refuses, by the field's name, what the kernels do not compute. */
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";
import type { Architecture, RopeScaling, TransformerSpec } from "./transformer_spec.ts";

/** By config.json's `model_type`, which is what transformers goes by. */
const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: "LlamaForCausalLM",
  mistral: "MistralForCausalLM",
  qwen2: "Qwen2ForCausalLM",
};

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
  attention_factor: optional(positive),
  beta_fast: optional(positive),
  beta_slow: optional(positive),
  mscale: optional(z.number()),
  mscale_all_dim: optional(z.number()),
  truncate: optional(z.boolean()),
});
type Rope = z.output<typeof ropeSchema>;

const configSchema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: optional(size),
  hidden_act: optional(z.string()),
  rms_norm_eps: optional(positive),
  max_position_embeddings: optional(size),
  original_max_position_embeddings: optional(size),
  rope_theta: optional(positive),
  rope_scaling: optional(ropeSchema),
  rope_parameters: optional(ropeSchema),
  partial_rotary_factor: optional(z.number()),
  tie_word_embeddings: optional(z.boolean()),
  attention_bias: optional(z.boolean()),
  mlp_bias: optional(z.boolean()),
  sliding_window: size.nullish(),
  use_sliding_window: optional(z.boolean()),
  max_window_layers: optional(z.int().min(0)),
  layer_types: optional(z.array(z.string())),
  torch_dtype: optional(z.string()),
  dtype: optional(z.string()),
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
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
  const rope = ropeOf(config);
  return {
    architecture,
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    layerCount: config.num_hidden_layers,
    headCount,
    kvHeadCount,
    headDim,
    rmsNormEpsilon: config.rms_norm_eps ?? 1e-6,
    ropeTheta: rope?.parameters.rope_theta ?? config.rope_theta ?? 10_000,
    ropeScaling: rope === null ? null : parseRopeScaling(rope, config, maxPositionEmbeddings),
    maxPositionEmbeddings,
    // The default of all three families' configuration classes.
    tieWordEmbeddings: config.tie_word_embeddings ?? false,
    attentionBias: architecture === "Qwen2ForCausalLM",
    slidingWindow: parseSlidingWindow(config, architecture),
    torchDtype: parseDtype(dtype, config.dtype === undefined ? "torch_dtype" : "dtype"),
    // No token has a negative id: -1 is how some write that there is none.
    eosTokenIds: config.eos_token_id === undefined
      ? defaults.eos
      : [config.eos_token_id ?? []].flat().filter((id) => id >= 0),
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
  const { architectures, model_type: modelType } = configJson as Record<string, unknown>;
  const names: readonly unknown[] = [architectures ?? []].flat();
  if (names.length > 0 && !names.some(isCausal)) {
    throw refuse(
      "architectures",
      architectures,
      `only causal language models are trained: ${supported(Object.values(ARCHITECTURES))}`,
    );
  }
  if (modelType !== undefined && modelType !== null) {
    const family = typeof modelType === "string" ? modelType.toLowerCase() : "";
    if (Object.hasOwn(ARCHITECTURES, family)) return ARCHITECTURES[family]!;
    throw refuse("model_type", modelType, supported(Object.keys(ARCHITECTURES)));
  }
  const found = Object.values(ARCHITECTURES).find((known) =>
    names.some((name) => typeof name === "string" && name.toLowerCase() === known.toLowerCase())
  );
  if (found !== undefined) return found;
  if (names.length > 0) throw refuse("architectures", architectures, supported(Object.values(ARCHITECTURES)));
  throw refuse(
    "model_type",
    modelType,
    `${supported(Object.keys(ARCHITECTURES))}; architectures is empty, too`,
  );
}

/** However it is spelled (LLaMAForCausalLM); another head (…ForSequenceClassification) has other weights. */
function isCausal(name: unknown): boolean {
  return typeof name === "string" &&
    (/ForCausalLM$/i.test(name) || /^(llama|mistral|qwen2)LMHeadModel$/i.test(name));
}

function supported(names: readonly string[]): string {
  return `one of ${names.map(quote).join(", ")} is supported`;
}

function refuseUnsupported(config: Config, architecture: Architecture): void {
  const { hidden_act: activation = "silu" } = config;
  // transformers' ACT2FN has both names for the same function.
  if (activation !== "silu" && activation !== "swish") {
    throw refuse("hidden_act", activation, `only "silu" is supported`);
  }
  if (config.attention_bias && architecture !== "Qwen2ForCausalLM") {
    throw refuse("attention_bias", true, "a bias on o_proj is not supported, so only false is");
  }
  if (config.mlp_bias) throw refuse("mlp_bias", true, "only false is supported");
  // Qwen2's may have a window, which parseSlidingWindow reads.
  const known = architecture === "Qwen2ForCausalLM"
    ? ["full_attention", "sliding_attention"]
    : ["full_attention"];
  const odd = config.layer_types?.find((type) => !known.includes(type));
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
  const quantization = config.quantization_config;
  if (quantization !== undefined && Object.keys(quantization).length > 0) refuseQuantization(quantization);
}

/** A checkpoint that bitsandbytes stored in NF4 loads as it is; any other quantisation does not. */
function refuseQuantization(quantization: Record<string, unknown>): void {
  const field = (name: string) => `quantization_config.${name}`;
  const remedy =
    "a checkpoint that is not quantised, which workers quantise to NF4 themselves, or one that bitsandbytes stored in NF4";
  const method = quantization["quant_method"];
  if (method !== "bitsandbytes") {
    throw refuse(field("quant_method"), method, `that quantisation is not supported; use ${remedy}`);
  }
  for (const name of ["load_in_8bit", "_load_in_8bit"]) {
    if (quantization[name] === true) {
      throw refuse(field(name), true, `8-bit weights (LLM.int8) are not supported; use ${remedy}`);
    }
  }
  const is4bit = quantization["load_in_4bit"] ?? quantization["_load_in_4bit"];
  if (is4bit !== true) throw refuse(field("load_in_4bit"), is4bit, `true is needed; use ${remedy}`);
  // bitsandbytes' own default is another type.
  const type = quantization["bnb_4bit_quant_type"] ?? "fp4";
  if (type !== "nf4") {
    throw refuse(field("bnb_4bit_quant_type"), type, `only "nf4" is supported; use ${remedy}`);
  }
  const storage = quantization["bnb_4bit_quant_storage"] ?? "uint8";
  if (storage !== "uint8") {
    throw refuse(field("bnb_4bit_quant_storage"), storage, `only "uint8" is supported`);
  }
}

interface RopeSection {
  readonly name: "rope_scaling" | "rope_parameters";
  readonly parameters: Rope;
}

/** As transformers 5 reads a file that has both: the older spelling wins, and an empty one is none. */
function ropeOf({ rope_scaling: older, rope_parameters: newer }: Config): RopeSection | null {
  const isGiven = (rope: Rope | undefined) =>
    rope !== undefined && Object.values(rope).some((value) => value !== undefined);
  if (isGiven(older)) return { name: "rope_scaling", parameters: older! };
  return isGiven(newer) ? { name: "rope_parameters", parameters: newer! } : null;
}

function parseRopeScaling(
  { name: section, parameters: rope }: RopeSection,
  config: Config,
  maxPositionEmbeddings: number,
): RopeScaling | null {
  const kind = rope.rope_type ?? rope.type ?? "default";
  const need = (key: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = rope[key];
    if (value === undefined) throw refuse(`${section}.${key}`, value, `rope_type ${quote(kind)} needs it`);
    return value;
  };
  const originalMaxPositions = config.original_max_position_embeddings ??
    rope.original_max_position_embeddings ?? maxPositionEmbeddings;
  switch (kind) {
    case "default":
      return null;
    case "linear":
    case "dynamic":
      return { kind, factor: need("factor") };
    case "llama3": {
      const lowFrequencyFactor = need("low_freq_factor");
      const highFrequencyFactor = need("high_freq_factor");
      if (highFrequencyFactor <= lowFrequencyFactor) {
        throw refuse(
          `${section}.high_freq_factor`,
          highFrequencyFactor,
          `it must exceed low_freq_factor, which is ${lowFrequencyFactor}`,
        );
      }
      const factor = need("factor");
      return { kind, factor, lowFrequencyFactor, highFrequencyFactor, originalMaxPositions };
    }
    case "yarn":
      return parseYarn(rope, maxPositionEmbeddings, originalMaxPositions);
    default: {
      const known = ["default", "linear", "dynamic", "yarn", "llama3"].map(quote).join(", ");
      throw refuse(`${section}.rope_type`, kind, `one of ${known} is supported`);
    }
  }
}

/** `_compute_yarn_parameters` of transformers/modeling_rope_utils.py, up to the frequencies. */
function parseYarn(
  rope: Rope,
  maxPositionEmbeddings: number,
  originalMaxPositions: number,
): Extract<RopeScaling, { kind: "yarn" }> {
  const factor = rope.factor ?? maxPositionEmbeddings / originalMaxPositions;
  const magnitude = (scale: number) => factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
  const { mscale = 0, mscale_all_dim: allDimensions = 0 } = rope;
  const attentionFactor = rope.attention_factor ??
    (mscale !== 0 && allDimensions !== 0 ? magnitude(mscale) / magnitude(allDimensions) : magnitude(1));
  return {
    kind: "yarn",
    factor,
    attentionFactor,
    betaFast: rope.beta_fast ?? 32,
    betaSlow: rope.beta_slow ?? 1,
    originalMaxPositions,
    truncate: rope.truncate ?? true,
  };
}

/** The narrowest window of any layer. Qwen2's is for the layers from `max_window_layers` on, or as `layer_types` says. */
function parseSlidingWindow(config: Config, architecture: Architecture): number | null {
  const { sliding_window: window } = config;
  if (architecture === "LlamaForCausalLM") return null;
  if (architecture === "MistralForCausalLM") {
    return window === undefined ? FAMILY_DEFAULTS[architecture].slidingWindow : window;
  }
  if (config.use_sliding_window !== true || window === undefined || window === null) return null;
  const isUsed = config.layer_types?.includes("sliding_attention") ??
    (config.max_window_layers ?? 28) < config.num_hidden_layers;
  return isUsed ? window : null;
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
