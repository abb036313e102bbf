/** Reads Hugging Face's `config.json` and refuses, naming the field, what the kernels do not compute. */
import { LoraFleetError, quote } from "../errors.ts";
import { checkQuantization } from "./check_quantization.ts";
import { type ConfigJson, configSchema, refuse } from "./config_json.ts";
import { FAMILIES, type Family } from "./families.ts";
import { parseRope } from "./parse_rope.ts";
import type { FamilyTraits, Rope, TransformerSpec } from "./transformer_spec.ts";

/**
 * @param configJson the parsed `config.json`
 * @throws LoraFleetError `invalid_model`; `param` is the field, such as `hidden_act` or `rope_scaling.rope_type`
 */
export function parseTransformerSpec(configJson: unknown): TransformerSpec {
  const family = parseFamily(configJson);
  const parsed = configSchema.safeParse({
    ...family.defaults.fields,
    ...textConfig(configJson as Record<string, unknown>, family),
  });
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const field = issue.path.join(".");
    throw refuse(field, valueAt(configJson, issue.path), issue.message);
  }
  const config = parsed.data;
  const { defaults } = family;
  const traits = family.traits(config);
  checkActivation(config, traits);
  checkSupported(config, family);
  checkBiases(config, traits);
  const maxPositionEmbeddings = config.max_position_embeddings ?? defaults.maxPositionEmbeddings;
  const dtype = config.dtype ?? config.torch_dtype ?? null;
  const heads = parseHeads(config, family);
  return {
    ...traits,
    architecture: family.architecture,
    textModule: family.section === undefined ? "model" : "model.language_model",
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    layerCount: config.num_hidden_layers,
    ...heads,
    rmsNormEpsilon: config.rms_norm_eps ?? 1e-6,
    ropes: ropesOf(config, family, heads.headDim, maxPositionEmbeddings),
    maxPositionEmbeddings,
    // The default of every family's configuration class.
    tieWordEmbeddings: config.tie_word_embeddings ?? false,
    torchDtype: parseDtype(dtype, config.dtype === undefined ? "torch_dtype" : "dtype"),
    // Some files have −1, which is no token's id, for "none".
    eosTokenIds: config.eos_token_id === undefined
      ? defaults.eosTokenIds
      : [config.eos_token_id ?? []].flat().filter((id) => id >= 0),
  };
}

/** What describes the language model: all of config.json, or a section, of which some files have parts outside. */
function textConfig(config: Record<string, unknown>, { section }: Family): Record<string, unknown> {
  if (section === undefined) return config;
  const text = config[section];
  if (typeof text !== "object" || text === null || Array.isArray(text)) {
    throw refuse(section, text, "an object that describes the language model is needed");
  }
  const outer = ["torch_dtype", "dtype", "eos_token_id", "tie_word_embeddings", "quantization_config"];
  const given = outer.filter((field) => config[field] !== undefined && config[field] !== null);
  return { ...text, ...Object.fromEntries(given.map((field) => [field, config[field]])) };
}

function parseFamily(configJson: unknown): Family {
  if (typeof configJson !== "object" || configJson === null || Array.isArray(configJson)) {
    throw new LoraFleetError(
      "invalid_model",
      `Reading config.json failed: it holds ${quote(configJson)}, a JSON object is needed`,
      { param: "config.json" },
    );
  }
  const { architectures, model_type: modelType } = configJson as Record<string, unknown>;
  const names: readonly unknown[] = [architectures ?? []].flat();
  const families = Object.values(FAMILIES);
  const known = families.map(({ architecture }) => architecture);
  if (names.length > 0 && !names.some((name) => isCausal(name) || known.includes(String(name)))) {
    throw refuse(
      "architectures",
      architectures,
      `only causal language models are trained: ${supported(known)}`,
    );
  }
  if (modelType !== undefined && modelType !== null) {
    const name = typeof modelType === "string" ? modelType.toLowerCase() : "";
    if (Object.hasOwn(FAMILIES, name)) return FAMILIES[name]!;
    throw refuse("model_type", modelType, supported(Object.keys(FAMILIES)));
  }
  const found = families.find(({ architecture }) =>
    names.some((name) => typeof name === "string" && name.toLowerCase() === architecture.toLowerCase())
  );
  if (found !== undefined) return found;
  if (names.length > 0) throw refuse("architectures", architectures, supported(known));
  throw refuse(
    "model_type",
    modelType,
    `${supported(Object.keys(FAMILIES))}; architectures is empty as well`,
  );
}

/** Accepts any spelling (LLaMAForCausalLM); other heads (…ForSequenceClassification) have different weights. */
function isCausal(name: unknown): boolean {
  if (typeof name !== "string") return false;
  const family = /^(.+)LMHeadModel$/i.exec(name)?.[1]?.toLowerCase();
  return /ForCausalLM$/i.test(name) || (family !== undefined && Object.hasOwn(FAMILIES, family));
}

function supported(names: readonly string[]): string {
  return `${names.length === 1 ? "only" : "one of"} ${names.map(quote).join(", ")} is supported`;
}

function ropesOf(config: ConfigJson, family: Family, headDim: number, maxPositions: number): Rope[] {
  const ways = family.ropes?.(config) ?? [config];
  return ways.map((way) => parseRope(way, headDim, maxPositions, family.ropeKinds));
}

/** Gemma reads `hidden_activation` and ignores `hidden_act`, which some of its files have besides. */
function checkActivation(config: ConfigJson, { activation }: FamilyTraits): void {
  const field = activation === "silu" ? "hidden_act" : "hidden_activation";
  const given = config[field] ?? activation;
  // ACT2FN of transformers has both names for one function.
  const accepted = activation === "silu" ? ["silu", "swish"] : [activation];
  if (!accepted.includes(given)) throw refuse(field, given, `only ${quote(activation)} is supported`);
}

function checkSupported(config: ConfigJson, { layerTypes, isPartlyRotated }: Family): void {
  const odd = config.layer_types?.find((type) => !layerTypes.includes(type));
  if (odd !== undefined) throw refuse("layer_types", odd, supported(layerTypes));
  const rotary: [field: string, value: number | undefined][] = [
    ["partial_rotary_factor", config.partial_rotary_factor],
    ["rope_parameters.partial_rotary_factor", config.rope_parameters?.partial_rotary_factor],
    ["rope_scaling.partial_rotary_factor", config.rope_scaling?.partial_rotary_factor],
  ];
  for (const [field, value] of isPartlyRotated ? [] : rotary) {
    if (value !== undefined && value !== 1) throw refuse(field, value, "only 1 is supported");
  }
  for (const field of ["attention_dropout", "resid_pdrop"] as const) {
    if (config[field]) {
      throw refuse(field, config[field], "only 0 is supported, so that training drops nothing");
    }
  }
  const quantization = config.quantization_config;
  if (quantization !== undefined && Object.keys(quantization).length > 0) checkQuantization(quantization);
}

/** transformers ignores the fields where the class has no biases; the checkpoint's would then be left out. */
function checkBiases(config: ConfigJson, { attentionBias, mlpBias }: FamilyTraits): void {
  const right = "the class of this model_type has no such biases, so only false is supported";
  if (config.attention_bias && !attentionBias) throw refuse("attention_bias", true, right);
  if (config.mlp_bias && !mlpBias) throw refuse("mlp_bias", true, right);
}

function parseHeads(
  config: ConfigJson,
  { defaults }: Family,
): Pick<TransformerSpec, "headCount" | "kvHeadCount" | "headDim"> {
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
  const givenDim = config.head_dim ?? defaults.headDim;
  if (givenDim === null && config.hidden_size % headCount !== 0) {
    const right = `it must divide hidden_size, which is ${config.hidden_size}, unless head_dim is given`;
    throw refuse("num_attention_heads", headCount, right);
  }
  const headDim = givenDim ?? config.hidden_size / headCount;
  if (headDim % 2 !== 0) {
    throw refuse("head_dim", headDim, "RoPE turns pairs of elements, so it must be even");
  }
  return { headCount, kvHeadCount, headDim };
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
