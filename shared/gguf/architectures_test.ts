import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { llama2, phi3, qwen2, qwen3, smollm3 } from "../model/config_fixture.ts";
import { parseTransformerSpec } from "../model/parse_transformer_spec.ts";
import { ggufArchitecture } from "./architectures.ts";

const longrope = { type: "longrope", short_factor: Array(64).fill(1), long_factor: Array(64).fill(2) };

const REFUSED: [title: string, config: object, words: string][] = [
  [
    "of a family without a form there",
    phi3,
    "the base model is a Phi3ForCausalLM; there are LlamaForCausalLM",
  ],
  ["with layers without positions", smollm3, "the base model is a SmolLM3ForCausalLM"],
  ["with LongRoPE", { ...llama2, rope_scaling: longrope }, "its RoPE is scaled by longrope"],
  ["of Qwen3 with biases", { ...qwen3, attention_bias: true }, "its Qwen3ForCausalLM has attention_bias"],
];
for (const [title, config, words] of REFUSED) {
  Deno.test(`GGUF is refused for a model ${title}`, () => {
    const spec = parseTransformerSpec(config);
    assertEquals(assertThrows(() => ggufArchitecture(spec), LoraFleetError, words).code, "invalid_request");
  });
}

Deno.test("biases have a form in GGUF where llama.cpp reads them", () => {
  for (const config of [{ ...llama2, attention_bias: true, mlp_bias: true }, qwen2]) {
    ggufArchitecture(parseTransformerSpec(config));
  }
});
