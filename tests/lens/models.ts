/** Base models by a short name: the fields of their config.json that decide shapes, or a folder with a config.json. */
import { join } from "@std/path";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";

const llama = (fields: Record<string, unknown>) => ({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
  torch_dtype: "bfloat16",
  ...fields,
});

const LLAMA3_ROPE = {
  rope_theta: 500_000,
  rope_scaling: {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
  max_position_embeddings: 131_072,
  vocab_size: 128_256,
};

/** As published with the weights; fields that decide no shape are left out. */
const CONFIGS: Readonly<Record<string, Record<string, unknown>>> = {
  // HuggingFaceTB/SmolLM2-135M
  "smollm2-135m": llama({
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: 49_152,
    max_position_embeddings: 8192,
    rope_theta: 100_000,
    tie_word_embeddings: true,
  }),
  // TinyLlama/TinyLlama-1.1B-Chat-v1.0
  "tinyllama-1b": llama({
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 22,
    num_attention_heads: 32,
    num_key_value_heads: 4,
    vocab_size: 32_000,
    max_position_embeddings: 2048,
  }),
  // meta-llama/Llama-3.2-1B
  "llama3-1b": llama({
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    tie_word_embeddings: true,
    ...LLAMA3_ROPE,
    rope_scaling: { ...LLAMA3_ROPE.rope_scaling, factor: 32 },
  }),
  // meta-llama/Llama-2-7b-hf
  "llama2-7b": llama({
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    vocab_size: 32_000,
    max_position_embeddings: 4096,
  }),
  // meta-llama/Llama-3.1-8B
  "llama3-8b": llama({
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    ...LLAMA3_ROPE,
  }),
  // meta-llama/Llama-2-70b-hf
  "llama2-70b": llama({
    hidden_size: 8192,
    intermediate_size: 28_672,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    vocab_size: 32_000,
    max_position_embeddings: 4096,
  }),
  // meta-llama/Llama-3.1-70B
  "llama3-70b": llama({
    hidden_size: 8192,
    intermediate_size: 28_672,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    ...LLAMA3_ROPE,
  }),
};

export const MODEL_NAMES: readonly string[] = Object.keys(CONFIGS);

/** The fields of a model's config.json that decide shapes; null for a name that is not among `MODEL_NAMES`. */
export function configNamed(name: string): Readonly<Record<string, unknown>> | null {
  return CONFIGS[name] ?? null;
}

/**
 * @param name one of `MODEL_NAMES`, or a folder with a config.json
 * @throws LoraFleetError `usage`, or `invalid_model` for a config.json that the kernels do not compute
 */
export function modelNamed(name: string): TransformerSpec {
  const known = CONFIGS[name];
  if (known !== undefined) return parseTransformerSpec(known);
  let text: string;
  try {
    text = Deno.readTextFileSync(join(name, "config.json"));
  } catch {
    throw new LoraFleetError(
      "usage",
      `--model is ${quote(name)}; ${MODEL_NAMES.join(", ")}, or a folder with a config.json is needed`,
      { param: "model" },
    );
  }
  try {
    return parseTransformerSpec(JSON.parse(text));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new LoraFleetError("invalid_model", `${join(name, "config.json")} is no JSON: ${cause.message}`, {
      cause,
    });
  }
}
