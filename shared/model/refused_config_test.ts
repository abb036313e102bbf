import { assert, assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { llama2, phi3, qwen3 } from "./config_fixture.ts";
import { parseTransformerSpec } from "./parse_transformer_spec.ts";

const nf4Config = { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" };
const mistral = { ...llama2, architectures: ["MistralForCausalLM"], model_type: "mistral" };
const refused: [title: string, config: unknown, field: string, words: string][] = [
  ["not an object", [llama2], "config.json", "JSON object"],
  [
    "a different architecture",
    { ...llama2, architectures: ["GPT2LMHeadModel"] },
    "architectures",
    "GPT2LMHeadModel",
  ],
  [
    "a different head",
    { ...llama2, architectures: ["LlamaForSequenceClassification"] },
    "architectures",
    "LlamaForSequenceClassification",
  ],
  ["no head", { ...llama2, architectures: ["LlamaModel"] }, "architectures", "LlamaModel"],
  ["a different type", { ...llama2, model_type: "gpt2" }, "model_type", '"gpt2"'],
  [
    "a type that is not known, under a known architecture",
    { ...llama2, model_type: "my_llama" },
    "model_type",
    '"llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3_text", "gemma3", "smollm3" is supported',
  ],
  [
    "neither type nor architecture",
    { ...llama2, model_type: undefined, architectures: [] },
    "model_type",
    "architectures is empty as well",
  ],
  [
    "a causal architecture that is not known, without a type",
    { ...llama2, model_type: null, architectures: ["FalconForCausalLM"] },
    "architectures",
    "FalconForCausalLM",
  ],
  ["a different activation", { ...llama2, hidden_act: "gelu" }, "hidden_act", '"gelu"'],
  ["a size that is missing", { ...llama2, vocab_size: undefined }, "vocab_size", "undefined"],
  ["a size that is text", { ...llama2, hidden_size: "4096" }, "hidden_size", '"4096"'],
  ["a size of zero", { ...llama2, num_hidden_layers: 0 }, "num_hidden_layers", "0"],
  [
    "biases that Mistral's class has not",
    { ...mistral, attention_bias: true },
    "attention_bias",
    "no such biases",
  ],
  ["biases of Phi-3's attention", { ...phi3, attention_bias: true }, "attention_bias", "no such biases"],
  ["biases of Qwen3's MLP", { ...qwen3, mlp_bias: true }, "mlp_bias", "no such biases"],
  ["heads that do not divide", { ...llama2, num_key_value_heads: 5 }, "num_key_value_heads", "32"],
  ["a hidden size that heads do not divide", { ...llama2, hidden_size: 4100 }, "num_attention_heads", "4100"],
  ["an odd head", { ...llama2, head_dim: 63 }, "head_dim", "even"],
  [
    "a kind of RoPE that is not known",
    { ...llama2, rope_scaling: { type: "proportional", factor: 4 } },
    "rope_scaling.rope_type",
    '"proportional"; one of "default", "linear", "dynamic", "yarn", "longrope", "llama3" is supported',
  ],
  [
    "LongRoPE without its factors",
    { ...llama2, rope_scaling: { type: "longrope", short_factor: Array(64).fill(1) } },
    "rope_scaling.long_factor",
    "a factor for each of the 64 rotated pairs",
  ],
  [
    "LongRoPE with too few factors",
    { ...llama2, rope_scaling: { type: "longrope", short_factor: [1, 2] } },
    "rope_scaling.short_factor",
    "a factor for each of the 64 rotated pairs",
  ],
  [
    "dynamic RoPE in the new spelling, without its factor",
    { ...llama2, rope_parameters: { rope_type: "dynamic", rope_theta: 1e4 } },
    "rope_parameters.factor",
    '"dynamic"',
  ],
  [
    "llama3 scaling without its factor",
    { ...llama2, rope_scaling: { rope_type: "llama3", low_freq_factor: 1, high_freq_factor: 4 } },
    "rope_scaling.factor",
    "llama3",
  ],
  [
    "a negative factor",
    { ...llama2, rope_scaling: { type: "linear", factor: -2 } },
    "rope_scaling.factor",
    "-2",
  ],
  ["a rotated part of the head", { ...llama2, partial_rotary_factor: 0.5 }, "partial_rotary_factor", "0.5"],
  [
    "layers with a window",
    { ...llama2, layer_types: ["sliding_attention"] },
    "layer_types",
    "sliding_attention",
  ],
  [
    "GPTQ",
    { ...llama2, quantization_config: { quant_method: "gptq", bits: 4 } },
    "quantization_config.quant_method",
    "gptq",
  ],
  [
    "FP4",
    { ...llama2, quantization_config: { ...nf4Config, bnb_4bit_quant_type: "fp4" } },
    "quantization_config.bnb_4bit_quant_type",
    "fp4",
  ],
  [
    "LLM.int8",
    {
      ...llama2,
      quantization_config: { quant_method: "bitsandbytes", load_in_8bit: true, load_in_4bit: false },
    },
    "quantization_config.load_in_8bit",
    "a checkpoint that is not quantised",
  ],
  ...["awq", "fp8", "compressed-tensors", undefined].map((
    quant_method,
  ): [string, unknown, string, string] => [
    `quantised by ${quant_method}`,
    { ...llama2, quantization_config: { quant_method, bits: 4 } },
    "quantization_config.quant_method",
    "which workers quantise to NF4 themselves",
  ]),
  ["an 8-bit type", { ...llama2, torch_dtype: "float8_e4m3fn" }, "torch_dtype", "bfloat16"],
];

for (const [title, config, field, words] of refused) {
  Deno.test(`config.json is refused by its field: ${title}`, () => {
    const error = assertThrows(() => parseTransformerSpec(config), LoraFleetError, words);
    assertEquals([error.code, error.param], ["invalid_model", field]);
    assert(error.message.includes(field), error.message);
  });
}

Deno.test("a checkpoint stored in NF4 is accepted", () => {
  assertEquals(
    parseTransformerSpec({ ...llama2, quantization_config: nf4Config }),
    parseTransformerSpec(llama2),
  );
});
