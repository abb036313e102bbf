import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { gemma2, gemma3, llama2, llama32, phi3, qwen2, qwen3, smollm3 } from "../model/config_fixture.ts";
import { parseTransformerSpec } from "../model/parse_transformer_spec.ts";
import { architectureMetadata } from "./architecture_metadata.ts";
import { ggufArchitecture } from "./architectures.ts";

const WITHOUT_FORM = { ...parseTransformerSpec(llama2), architecture: "OlmoForCausalLM" };
const yarn = { type: "yarn", factor: 2, truncate: false, original_max_position_embeddings: 2048 };
const llama3 = { type: "llama3", factor: 2, low_freq_factor: 1, high_freq_factor: 4 };

const REFUSED: [title: string, config: object, words: string][] = [
  ["of Qwen3 with biases", { ...qwen3, attention_bias: true }, "its Qwen3ForCausalLM has attention_bias"],
  [
    "of SmolLM3 with biases of the MLP",
    { ...smollm3, mlp_bias: true },
    "its SmolLM3ForCausalLM has mlp_bias",
  ],
  [
    "with other layers without positions",
    { ...smollm3, no_rope_layers: undefined, no_rope_layer_interval: 3 },
    "llama.cpp turns all but each 4th layer of a SmolLM3ForCausalLM by positions",
  ],
  [
    "of Qwen3 with Llama 3's RoPE",
    { ...qwen3, rope_scaling: llama3 },
    "no RoPE scaled by llama3 for a Qwen3ForCausalLM",
  ],
  ["with YaRN that is not truncated", { ...llama2, rope_scaling: yarn }, "yarn with truncate false"],
  [
    "of Gemma 2 with an output layer of its own",
    { ...gemma2, tie_word_embeddings: false },
    "its tie_word_embeddings is false",
  ],
  [
    "of Gemma 2 without soft caps",
    { ...gemma2, attn_logit_softcapping: null },
    "its attn_logit_softcapping is null, and llama.cpp has one always",
  ],
  [
    "of Gemma 2 with another scale of attention",
    { ...gemma2, query_pre_attn_scalar: 100 },
    "its query_pre_attn_scalar is 100, and llama.cpp takes 256 for it",
  ],
  [
    "of Phi-3 with wide heads",
    { ...phi3, head_dim: 128 },
    "its 32 heads of 128 are not as wide as hidden_size, which is 3072",
  ],
];

Deno.test("GGUF is refused for a model of a family without a form there, with those that have one", () => {
  const words = "the base model is a OlmoForCausalLM; there are LlamaForCausalLM, MistralForCausalLM";
  const error = assertThrows(() => ggufArchitecture(WITHOUT_FORM), LoraFleetError, words);
  assertEquals([error.code, error.param], ["invalid_request", "kind"]);
});

for (const [title, config, words] of REFUSED) {
  Deno.test(`GGUF is refused for a model ${title}`, () => {
    const spec = parseTransformerSpec(config);
    assertEquals(assertThrows(() => ggufArchitecture(spec), LoraFleetError, words).code, "invalid_request");
  });
}

Deno.test("known models have a form in GGUF, biases too where llama.cpp reads them", () => {
  const known = [llama2, llama32, qwen2, qwen3, phi3, gemma2, gemma3, smollm3];
  for (const config of [...known, { ...llama2, attention_bias: true, mlp_bias: true }]) {
    ggufArchitecture(parseTransformerSpec(config));
  }
});

Deno.test("layers with a window are named where llama.cpp would choose others", () => {
  const keyOf = (config: object) =>
    architectureMetadata(parseTransformerSpec(config)).find(([key]) =>
      key.endsWith("sliding_window_pattern")
    );
  assertEquals([keyOf(gemma2), keyOf(gemma3)], [undefined, undefined]);
  const every = { ...gemma3, num_hidden_layers: 3, sliding_window_pattern: 2 };
  assertEquals(keyOf(every)?.[1], { type: "bools", value: [true, false, true] });
});

Deno.test("the sizes of the scaled and the wide models of Gemma are llama.cpp's", () => {
  const wide = { hidden_size: 4608, num_attention_heads: 32, num_key_value_heads: 16, head_dim: 128 };
  const gemma27 = { ...gemma2, ...wide, num_hidden_layers: 46, query_pre_attn_scalar: 144 };
  assertEquals(ggufArchitecture(parseTransformerSpec(gemma27)).name, "gemma2");
  const narrow = parseTransformerSpec({ ...gemma27, num_hidden_layers: 44 });
  assertThrows(() => ggufArchitecture(narrow), LoraFleetError, "llama.cpp takes 128 for it");
});
