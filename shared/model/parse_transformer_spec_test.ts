import { assertEquals } from "@std/assert";
import { llama2, llama32, qwen2, qwen3 } from "./config_fixture.ts";
import { modelTensors } from "./model_tensors.ts";
import { parseTransformerSpec } from "./parse_transformer_spec.ts";

Deno.test("Llama-2's config.json, as transformers 4 wrote it", () => {
  assertEquals(parseTransformerSpec(llama2), {
    architecture: "LlamaForCausalLM",
    vocabSize: 32000,
    hiddenSize: 4096,
    intermediateSize: 11008,
    layerCount: 32,
    headCount: 32,
    kvHeadCount: 32,
    headDim: 128,
    rmsNormEpsilon: 1e-5,
    ropeTheta: 10000,
    ropeScaling: null,
    maxPositionEmbeddings: 4096,
    tieWordEmbeddings: false,
    attentionBias: false,
    queryKeyNorm: false,
    slidingWindow: null,
    torchDtype: "float16",
    eosTokenIds: [2],
  });
});

Deno.test("Llama-3.2's config.json, as transformers 5 writes it, and the same in the older spelling", () => {
  const spec = parseTransformerSpec(llama32);
  assertEquals(spec.ropeScaling, {
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
  assertEquals([spec.attentionBias, spec.slidingWindow, spec.ropeTheta], [true, null, 1e6]);
  const biased = modelTensors(spec).filter(({ kind }) => kind === "bias").map(({ role }) => role);
  assertEquals(new Set(biased), new Set(["query", "key", "value"]));
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

Deno.test("Qwen2's window counts if any layer has it", () => {
  const windowOf = (changes: object) =>
    parseTransformerSpec({ ...qwen2, use_sliding_window: true, ...changes }).slidingWindow;
  assertEquals(windowOf({}), 131072); // 32 layers; by default the first 28 have none
  assertEquals(windowOf({ max_window_layers: 32 }), null);
  assertEquals(windowOf({ sliding_window: null }), null);
  assertEquals(windowOf({ layer_types: ["full_attention"] }), null);
  assertEquals(windowOf({ layer_types: ["full_attention", "sliding_attention"] }), 131072);
});

Deno.test("both spellings of RoPE at once: the older one wins unless it is empty, as in transformers 5", () => {
  const rope_parameters = { rope_type: "linear", factor: 2, rope_theta: 5 };
  const { ropeScaling, ropeTheta } = parseTransformerSpec({
    ...llama2,
    rope_parameters,
    rope_scaling: { type: "linear", factor: 3 },
  });
  assertEquals([ropeScaling, ropeTheta], [{ kind: "linear", factor: 3 }, 10000]);
  const empty = parseTransformerSpec({ ...llama2, rope_parameters, rope_scaling: {} });
  assertEquals([empty.ropeScaling, empty.ropeTheta], [{ kind: "linear", factor: 2 }, 5]);
});

Deno.test("Qwen3's config.json: norms of q and k, heads of their own size, a window only if it is used", () => {
  const spec = parseTransformerSpec(qwen3);
  assertEquals(spec.architecture, "Qwen3ForCausalLM");
  assertEquals([spec.queryKeyNorm, spec.attentionBias, spec.slidingWindow], [true, false, null]);
  assertEquals([spec.headCount, spec.kvHeadCount, spec.headDim], [16, 8, 128]);
  assertEquals([spec.tieWordEmbeddings, spec.ropeTheta, spec.eosTokenIds], [true, 1e6, [151645]]);
  const bare = parseTransformerSpec({ ...qwen3, head_dim: undefined, num_key_value_heads: null });
  assertEquals([bare.headDim, bare.kvHeadCount], [128, 16]);
  const windowOf = (changes: object) =>
    parseTransformerSpec({ ...qwen3, use_sliding_window: true, max_window_layers: 0, ...changes })
      .slidingWindow;
  assertEquals([windowOf({ sliding_window: undefined }), windowOf({ sliding_window: null })], [4096, null]);
  assertEquals(windowOf({ sliding_window: 1000, layer_types: ["full_attention"] }), null);
});
