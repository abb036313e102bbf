import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { gemma2, gemma3, gemma3Vision } from "./config_fixture.ts";
import { modelModules, modelTensors } from "./model_tensors.ts";
import { parseTransformerSpec } from "./parse_transformer_spec.ts";
import { storedName } from "./tied_head.ts";

Deno.test("Gemma 2's config.json: post-norms, scaled embeddings, soft caps, a window in every second layer", () => {
  const spec = parseTransformerSpec(gemma2);
  assertEquals([spec.architecture, spec.vocabSize, spec.headDim], ["Gemma2ForCausalLM", 256000, 256]);
  assertEquals([spec.activation, spec.postNorms, spec.normOffset], ["gelu_pytorch_tanh", true, 1]);
  assertEquals([spec.embeddingScale, spec.attentionScale], [48, 1 / 16]);
  assertEquals([spec.attentionSoftCap, spec.logitSoftCap, spec.queryKeyNorm], [50, 30, false]);
  assertEquals([spec.slidingWindow, spec.tieWordEmbeddings, spec.eosTokenIds], [4096, true, [1]]);
  assertEquals(spec.attention.slice(0, 3).map(({ isWindowed }) => isWindowed), [true, false, true]);
  assertEquals(spec.ropes, [{ theta: 10000, scaling: null, dimensions: 256 }]);
});

Deno.test("Gemma 3's config.json: norms of q and k, a window in all but each sixth layer, two ways to rotate", () => {
  const spec = parseTransformerSpec(gemma3);
  assertEquals([spec.architecture, spec.vocabSize, spec.queryKeyNorm], ["Gemma3ForCausalLM", 262144, true]);
  assertEquals(spec.embeddingScale, Math.fround(Math.sqrt(1152)));
  assertEquals([spec.attentionSoftCap, spec.logitSoftCap, spec.slidingWindow], [null, null, 512]);
  assertEquals(spec.attention.map(({ isWindowed, rope }) => `${isWindowed} ${rope}`).slice(4, 7), [
    "true 1",
    "false 0",
    "true 1",
  ]);
  assertEquals(spec.ropes, [
    { theta: 1_000_000, scaling: null, dimensions: 256 },
    { theta: 10_000, scaling: null, dimensions: 256 },
  ]);
});

Deno.test("Gemma 3's RoPE: rope_scaling is that of the layers without a window, in both spellings", () => {
  const linear = { rope_type: "linear", factor: 8 };
  const older = parseTransformerSpec({ ...gemma3, rope_scaling: linear });
  const { rope_theta: _theta, rope_local_base_freq: _base, rope_scaling: _scaling, ...rest } = gemma3;
  const newer = parseTransformerSpec({
    ...rest,
    rope_parameters: {
      full_attention: { ...linear, rope_theta: 1e6 },
      sliding_attention: { rope_type: "default", rope_theta: 1e4 },
    },
  });
  assertEquals(older.ropes, [
    { theta: 1e6, scaling: { kind: "linear", factor: 8 }, dimensions: 256 },
    { theta: 1e4, scaling: null, dimensions: 256 },
  ]);
  assertEquals(newer, older);
});

Deno.test("what Gemma's config.json leaves out comes from the configuration class", () => {
  const of = (model_type: string) =>
    parseTransformerSpec({ model_type, architectures: null, hidden_activation: null });
  const [two, three] = [of("gemma2"), of("gemma3_text")];
  for (const spec of [two, three]) {
    assertEquals([spec.hiddenSize, spec.intermediateSize, spec.layerCount], [2304, 9216, 26]);
    assertEquals([spec.headCount, spec.kvHeadCount, spec.headDim, spec.slidingWindow], [8, 4, 256, 4096]);
    assertEquals([spec.tieWordEmbeddings, spec.attentionScale, spec.eosTokenIds], [true, 1 / 16, [1]]);
  }
  assertEquals([two.vocabSize, two.maxPositionEmbeddings], [256_000, 8192]);
  assertEquals([two.attentionSoftCap, two.logitSoftCap], [50, 30]);
  assertEquals([three.vocabSize, three.maxPositionEmbeddings], [262_208, 131_072]);
  assertEquals([three.attentionSoftCap, three.logitSoftCap], [null, null]);
  const uncapped = { ...gemma2, attn_logit_softcapping: null, final_logit_softcapping: null };
  const { attentionSoftCap, logitSoftCap } = parseTransformerSpec(uncapped);
  assertEquals([attentionSoftCap, logitSoftCap], [null, null]);
});

Deno.test("Gemma 3 with images: text_config describes the language model, which lies in a module of its own", () => {
  const spec = parseTransformerSpec(gemma3Vision);
  assertEquals(spec.architecture, "Gemma3ForConditionalGeneration");
  assertEquals([spec.hiddenSize, spec.layerCount, spec.headCount, spec.kvHeadCount], [2560, 34, 8, 4]);
  assertEquals([spec.vocabSize, spec.slidingWindow, spec.tieWordEmbeddings], [262_208, 1024, true]);
  assertEquals([spec.torchDtype, spec.eosTokenIds], ["bfloat16", [1, 106]]);
  assertEquals(spec.ropes.map(({ theta, scaling }) => [theta, scaling?.kind]), [[1e6, "linear"], [
    1e4,
    undefined,
  ]]);
  const names = modelTensors(spec).map(({ name }) => name);
  assertEquals(names.filter((name) => !name.startsWith("model.language_model.")), ["lm_head.weight"]);
  assertEquals(modelModules(spec).other.slice(0, 5), [
    "",
    "model",
    "model.language_model",
    "model.language_model.layers",
    "model.language_model.rotary_emb",
  ]);
});

Deno.test("a tensor of a model with images is found under its name in transformers 4 and 5", () => {
  const { textModule, tieWordEmbeddings } = parseTransformerSpec(gemma3Vision);
  const spec = { textModule, tieWordEmbeddings };
  const storedAs = (name: string, stored: string) => storedName(name, spec, (there) => there === stored);
  const older = "language_model.model.layers.0.mlp.up_proj.weight";
  const newer = "model.language_model.layers.0.mlp.up_proj.weight";
  assertEquals([storedAs(newer, older), storedAs(newer, newer)], [older, newer]);
  const table = "language_model.model.embed_tokens.weight";
  assertEquals(storedAs("lm_head.weight", table), table);
  const head = "language_model.lm_head.weight";
  assertEquals(
    storedName("lm_head.weight", { ...spec, tieWordEmbeddings: false }, (name) => name === head),
    head,
  );
  assertEquals(storedAs(newer, "nothing"), newer);
});

Deno.test("Gemma's norms: two around attention, two around the MLP, and in Gemma 3 those of q and k", () => {
  const normsOf = (config: object) =>
    modelTensors(parseTransformerSpec(config))
      .filter(({ kind, layer }) => kind === "norm" && layer === 3)
      .map(({ name, role }) => `${name.slice("model.layers.3.".length)} ${role}`);
  const around = [
    "input_layernorm.weight attentionNorm",
    "pre_feedforward_layernorm.weight mlpNorm",
    "post_attention_layernorm.weight attentionPostNorm",
    "post_feedforward_layernorm.weight mlpPostNorm",
  ];
  assertEquals(normsOf(gemma2), around);
  assertEquals(normsOf(gemma3), [
    ...around,
    "self_attn.q_norm.weight queryNorm",
    "self_attn.k_norm.weight keyNorm",
  ]);
});

const refused: [title: string, config: object, field: string, words: string][] = [
  ["a different activation", { ...gemma2, hidden_activation: "gelu" }, "hidden_activation", '"gelu"'],
  ["a window of none", { ...gemma3, sliding_window: null }, "sliding_window", "sliding_attention"],
  [
    "attention in both directions",
    { ...gemma3, use_bidirectional_attention: true },
    "use_bidirectional_attention",
    "causal",
  ],
  ["no text_config", { ...gemma3Vision, text_config: undefined }, "text_config", "undefined"],
  ["a cap of 0", { ...gemma2, final_logit_softcapping: 0 }, "final_logit_softcapping", "0"],
  [
    "a type of layer that is not known",
    {
      ...gemma3,
      num_hidden_layers: 1,
      layer_types: ["chunked_attention"],
    },
    "layer_types",
    "chunked_attention",
  ],
];
for (const [title, config, field, words] of refused) {
  Deno.test(`Gemma's config.json is refused by its field: ${title}`, () => {
    const error = assertThrows(() => parseTransformerSpec(config), LoraFleetError, words);
    assertEquals(error.param, field);
  });
}
