import { assertEquals } from "@std/assert";
import { llama32, qwen2, qwen3 } from "./config_fixture.ts";
import { linearModules, modelModules, modelTensors } from "./model_tensors.ts";
import { parseTransformerSpec } from "./parse_transformer_spec.ts";

Deno.test("linear modules: grouped heads and a head size of its own give their shapes", () => {
  const spec = parseTransformerSpec({ ...llama32, num_hidden_layers: 2, head_dim: 128 });
  const modules = linearModules(spec);
  assertEquals(modules.length, 14);
  assertEquals(modules.slice(7).map(({ name, outFeatures, inFeatures }) => [name, outFeatures, inFeatures]), [
    ["model.layers.1.self_attn.q_proj", 4096, 2048],
    ["model.layers.1.self_attn.k_proj", 1024, 2048],
    ["model.layers.1.self_attn.v_proj", 1024, 2048],
    ["model.layers.1.self_attn.o_proj", 2048, 4096],
    ["model.layers.1.mlp.gate_proj", 8192, 2048],
    ["model.layers.1.mlp.up_proj", 8192, 2048],
    ["model.layers.1.mlp.down_proj", 2048, 8192],
  ]);
});

Deno.test("the table has every tensor once: tables, norms, then linear layers with their biases", () => {
  const tensors = modelTensors(parseTransformerSpec({ ...qwen2, num_hidden_layers: 1 }));
  assertEquals(tensors.map(({ name, kind, role, layer }) => [name, kind, role, layer]), [
    ["model.embed_tokens.weight", "table", "embeddings", null],
    ["lm_head.weight", "table", "head", null],
    ["model.norm.weight", "norm", "finalNorm", null],
    ["model.layers.0.input_layernorm.weight", "norm", "attentionNorm", 0],
    ["model.layers.0.post_attention_layernorm.weight", "norm", "mlpNorm", 0],
    ["model.layers.0.self_attn.q_proj.weight", "linear", "query", 0],
    ["model.layers.0.self_attn.q_proj.bias", "bias", "query", 0],
    ["model.layers.0.self_attn.k_proj.weight", "linear", "key", 0],
    ["model.layers.0.self_attn.k_proj.bias", "bias", "key", 0],
    ["model.layers.0.self_attn.v_proj.weight", "linear", "value", 0],
    ["model.layers.0.self_attn.v_proj.bias", "bias", "value", 0],
    ["model.layers.0.self_attn.o_proj.weight", "linear", "output", 0],
    ["model.layers.0.mlp.gate_proj.weight", "linear", "gate", 0],
    ["model.layers.0.mlp.up_proj.weight", "linear", "up", 0],
    ["model.layers.0.mlp.down_proj.weight", "linear", "down", 0],
  ]);
});

Deno.test("modules without an adapter: containers, embeddings, norms and the output layer", () => {
  const { linear, other } = modelModules(parseTransformerSpec({ ...llama32, num_hidden_layers: 1 }));
  assertEquals(linear.length, 7);
  assertEquals(
    new Set(other),
    new Set([
      "",
      "model",
      "model.embed_tokens",
      "model.layers",
      "model.norm",
      "model.rotary_emb",
      "lm_head",
      "model.layers.0",
      "model.layers.0.self_attn",
      "model.layers.0.mlp",
      "model.layers.0.mlp.act_fn",
      "model.layers.0.input_layernorm",
      "model.layers.0.post_attention_layernorm",
    ]),
  );
});

Deno.test("Qwen3's norms of q and k are tensors of one head, and no targets of LoRA", () => {
  const spec = parseTransformerSpec({ ...qwen3, num_hidden_layers: 1 });
  const norms = modelTensors(spec).filter(({ role }) => role === "queryNorm" || role === "keyNorm");
  assertEquals(norms.map(({ name, shape, kind }) => [name, shape, kind]), [
    ["model.layers.0.self_attn.q_norm.weight", [128], "norm"],
    ["model.layers.0.self_attn.k_norm.weight", [128], "norm"],
  ]);
  const { linear, other } = modelModules(spec);
  assertEquals(linear.length, 7);
  assertEquals(other.filter((name) => /[qk]_norm$/.test(name)).length, 2);
});
