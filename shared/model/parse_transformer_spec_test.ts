import { assertEquals } from "@std/assert";
import { llama2, llama32, qwen2, qwen3, smollm3 } from "./config_fixture.ts";
import { modelTensors } from "./model_tensors.ts";
import { parseTransformerSpec } from "./parse_transformer_spec.ts";

Deno.test("Llama-2's config.json, as transformers 4 wrote it", () => {
  assertEquals(parseTransformerSpec(llama2), {
    architecture: "LlamaForCausalLM",
    textModule: "model",
    vocabSize: 32000,
    hiddenSize: 4096,
    intermediateSize: 11008,
    layerCount: 32,
    headCount: 32,
    kvHeadCount: 32,
    headDim: 128,
    rmsNormEpsilon: 1e-5,
    ropes: [{ theta: 10000, scaling: null, dimensions: 128 }],
    maxPositionEmbeddings: 4096,
    tieWordEmbeddings: false,
    attentionBias: false,
    outputBias: false,
    mlpBias: false,
    fusedProjections: false,
    queryKeyNorm: false,
    slidingWindow: null,
    attention: Array(32).fill({ isWindowed: false, rope: 0 }),
    activation: "silu",
    postNorms: false,
    normOffset: 0,
    embeddingScale: 1,
    attentionScale: null,
    attentionSoftCap: null,
    logitSoftCap: null,
    torchDtype: "float16",
    eosTokenIds: [2],
  });
});

Deno.test("Llama-3.2's config.json, as transformers 5 writes it, and the same in the older spelling", () => {
  const spec = parseTransformerSpec(llama32);
  assertEquals(spec.ropes[0]!.scaling, {
    kind: "llama3",
    factor: 32,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalMaxPositions: 8192,
  });
  assertEquals([spec.kvHeadCount, spec.headDim, spec.torchDtype], [8, 64, "bfloat16"]);
  assertEquals(spec.eosTokenIds, [128001, 128008, 128009]);
  const { rope_parameters: { rope_theta, ...rope_scaling }, dtype, ...rest } = llama32;
  assertEquals(parseTransformerSpec({ ...rest, rope_theta, rope_scaling, torch_dtype: dtype }), spec);
});

Deno.test("Qwen2 has a bias on q, k and v; its sliding window is off", () => {
  const spec = parseTransformerSpec(qwen2);
  assertEquals([spec.attentionBias, spec.slidingWindow, spec.ropes[0]!.theta], [true, null, 1e6]);
  const biased = modelTensors(spec).filter(({ kind }) => kind === "bias").map(({ role }) => role);
  assertEquals(new Set(biased), new Set(["query", "key", "value"]));
});

Deno.test("attention_bias adds biases to q, k, v and o, mlp_bias to gate, up and down", () => {
  const biasedRoles = (config: object) =>
    modelTensors(parseTransformerSpec(config)).filter(({ kind, layer }) => kind === "bias" && layer === 0)
      .map(({ role }) => role);
  const attention = ["query", "key", "value", "output"];
  assertEquals(biasedRoles({ ...llama2, attention_bias: true }), attention);
  assertEquals(biasedRoles({ ...llama2, mlp_bias: true }), ["gate", "up", "down"]);
  assertEquals(biasedRoles({ ...qwen3, attention_bias: true }), attention);
  assertEquals(biasedRoles({ ...smollm3, attention_bias: true, mlp_bias: true }), [
    ...attention,
    "gate",
    "up",
    "down",
  ]);
});

Deno.test("model_type decides, as in transformers, under any name of the architecture", () => {
  const spec = parseTransformerSpec(llama2);
  for (
    const architectures of [
      undefined,
      null,
      [],
      ["LLaMAForCausalLM"],
      ["llamaforcausallm"],
      "LlamaForCausalLM",
      ["YiForCausalLM"],
      ["LLaMALMHeadModel"],
      ["LlamaForSequenceClassification", "LlamaForCausalLM"],
    ]
  ) assertEquals(parseTransformerSpec({ ...llama2, architectures }), spec);
  assertEquals(parseTransformerSpec({ ...llama2, model_type: undefined }), spec);
  assertEquals(
    parseTransformerSpec({ ...llama2, model_type: null, architectures: ["LLaMAForCausalLM"] }),
    spec,
  );
  const { architecture, attentionBias } = parseTransformerSpec({ ...llama2, model_type: "qwen2" });
  assertEquals([architecture, attentionBias], ["Qwen2ForCausalLM", true]);
});

Deno.test("null means absent, and an absent field has the configuration class's default", () => {
  const nulls = { tie_word_embeddings: null, hidden_act: null, mlp_bias: null, quantization_config: null };
  assertEquals(parseTransformerSpec({ ...llama2, ...nulls }), parseTransformerSpec(llama2));
  for (const model_type of ["llama", "mistral", "qwen2"]) {
    const spec = parseTransformerSpec({ ...llama2, model_type, tie_word_embeddings: undefined });
    assertEquals(spec.tieWordEmbeddings, false);
  }
  assertEquals(parseTransformerSpec({ ...llama2, quantization_config: {} }), parseTransformerSpec(llama2));
});

Deno.test("swish is silu, and an eos_token_id of -1 means none", () => {
  assertEquals(parseTransformerSpec({ ...llama2, hidden_act: "swish" }), parseTransformerSpec(llama2));
  const eosOf = (eos_token_id: unknown) => parseTransformerSpec({ ...llama2, eos_token_id }).eosTokenIds;
  assertEquals([eosOf(-1), eosOf([2, -1]), eosOf(7)], [[], [2], [7]]);
});

Deno.test("both spellings of RoPE at once: the older one wins unless it is empty, as in transformers 5", () => {
  const rope_parameters = { rope_type: "linear", factor: 2, rope_theta: 5 };
  const ropesOf = (rope_scaling: object) =>
    parseTransformerSpec({ ...llama2, rope_parameters, rope_scaling }).ropes;
  const both = ropesOf({ type: "linear", factor: 3 });
  assertEquals(both, [{ theta: 10000, scaling: { kind: "linear", factor: 3 }, dimensions: 128 }]);
  assertEquals(ropesOf({}), [{ theta: 5, scaling: { kind: "linear", factor: 2 }, dimensions: 128 }]);
});

Deno.test("Qwen3's config.json: norms of q and k, heads of their own size, a window only if it is used", () => {
  const spec = parseTransformerSpec(qwen3);
  assertEquals(spec.architecture, "Qwen3ForCausalLM");
  assertEquals([spec.queryKeyNorm, spec.attentionBias, spec.slidingWindow], [true, false, null]);
  assertEquals([spec.headCount, spec.kvHeadCount, spec.headDim], [16, 8, 128]);
  assertEquals([spec.tieWordEmbeddings, spec.ropes[0]!.theta, spec.eosTokenIds], [true, 1e6, [151645]]);
  const bare = parseTransformerSpec({ ...qwen3, head_dim: undefined, num_key_value_heads: null });
  assertEquals([bare.headDim, bare.kvHeadCount], [128, 16]);
});
