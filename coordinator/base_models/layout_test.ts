import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import { checkLayout } from "./layout.ts";
import type { TensorHeader } from "./headers.ts";

const config = {
  architectures: ["Qwen2ForCausalLM"],
  vocab_size: 9,
  hidden_size: 4,
  intermediate_size: 6,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
};
const layer = (name: string, ...shape: number[]) => ({
  name: `model.layers.0.${name}`,
  dtype: "F16",
  shape,
});
const tensors: readonly TensorHeader[] = [
  { name: "model.embed_tokens.weight", dtype: "F16", shape: [9, 4] },
  { name: "lm_head.weight", dtype: "F16", shape: [9, 4] },
  { name: "model.norm.weight", dtype: "F32", shape: [4] },
  layer("input_layernorm.weight", 4),
  layer("post_attention_layernorm.weight", 4),
  layer("self_attn.q_proj.weight", 4, 4),
  layer("self_attn.q_proj.bias", 4),
  layer("self_attn.k_proj.weight", 2, 4),
  layer("self_attn.k_proj.bias", 2),
  layer("self_attn.v_proj.weight", 2, 4),
  layer("self_attn.v_proj.bias", 2),
  layer("self_attn.o_proj.weight", 4, 4),
  layer("mlp.gate_proj.weight", 6, 4),
  layer("mlp.up_proj.weight", 6, 4),
  layer("mlp.down_proj.weight", 4, 6),
];

const check = (list: readonly TensorHeader[], changes: object = {}) =>
  checkLayout(parseTransformerSpec({ ...config, ...changes }), list);

Deno.test("weights that match config.json are accepted, with or without additional tensors", () => {
  check(tensors);
  check([...tensors, layer("self_attn.rotary_emb.inv_freq", 1)]);
  check(tensors.filter(({ name }) => name !== "lm_head.weight"), { tie_word_embeddings: true });
});

Deno.test("a missing tensor is named, and one of the wrong shape with both shapes", () => {
  for (const { name, shape } of tensors) {
    const missing = assertThrows(
      () => check(tensors.filter((tensor) => tensor.name !== name)),
      LoraFleetError,
    );
    assertEquals(missing.code, "invalid_model");
    assertEquals(missing.message, `tensor "${name}" is missing from the safetensors files`);
    for (const other of [[...shape, 1], shape.map((size) => size + 1)]) {
      const changed = tensors.map((tensor) => tensor.name === name ? { ...tensor, shape: other } : tensor);
      assertThrows(
        () => check(changed),
        LoraFleetError,
        `tensor "${name}" is [${other.join(", ")}], but by config.json it is [${shape.join(", ")}]`,
      );
    }
  }
});

Deno.test("packed weights are accepted only with bitsandbytes' state", () => {
  const name = "model.layers.0.mlp.up_proj.weight";
  const packed = tensors.map((tensor) =>
    tensor.name === name ? { name, dtype: "U8", shape: [12, 1] } : tensor
  );
  assertThrows(() => check(packed), LoraFleetError, "only NF4 as bitsandbytes stores it");
  check([...packed, { name: `${name}.quant_state.bitsandbytes__nf4`, dtype: "U8", shape: [80] }]);
  const norm = tensors.map((tensor) =>
    tensor.name === "model.norm.weight" ? { ...tensor, dtype: "U8", shape: [2] } : tensor
  );
  assertThrows(() => check(norm), LoraFleetError, '"model.norm.weight" is [2]');
});

Deno.test("unsupported dtypes and packed weights of the wrong size are refused with the tensor", () => {
  const name = "model.layers.0.mlp.up_proj.weight";
  const withTensor = (dtype: string, shape: number[]) =>
    tensors.map((tensor) => tensor.name === name ? { name, dtype, shape } : tensor);
  assertThrows(
    () => check(withTensor("F8_E4M3", [6, 4])),
    LoraFleetError,
    `"${name}" is F8_E4M3; one of F32`,
  );
  assertThrows(() => check(withTensor("I8", [6, 4])), LoraFleetError, `"${name}" is I8`);
  const state = { name: `${name}.quant_state.bitsandbytes__nf4`, dtype: "U8", shape: [80] };
  const message = `"${name}" has 13 bytes of NF4 codes, but by config.json it is [6, 4], which is 12 bytes`;
  assertThrows(() => check([...withTensor("U8", [13, 1]), state]), LoraFleetError, message);
});

Deno.test("a tied output layer may stand in for the embeddings", () => {
  const alone = tensors.filter(({ name }) => name !== "model.embed_tokens.weight");
  check(alone, { tie_word_embeddings: true });
  assertThrows(() => check(alone), LoraFleetError, '"model.embed_tokens.weight" is missing');
});
