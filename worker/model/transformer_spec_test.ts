import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { inverseFrequencies, linearModules, parseTransformerSpec, ropeTable } from "./transformer_spec.ts";

/** As transformers 4 wrote Llama-2-7B's. */
const llama2 = {
  architectures: ["LlamaForCausalLM"],
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: "silu",
  hidden_size: 4096,
  intermediate_size: 11008,
  max_position_embeddings: 4096,
  model_type: "llama",
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 32,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  tie_word_embeddings: false,
  torch_dtype: "float16",
  vocab_size: 32000,
};

/** As transformers 5 writes Llama-3.2-1B's. */
const llama32 = {
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  dtype: "bfloat16",
  eos_token_id: [128001, 128008, 128009],
  head_dim: 64,
  hidden_act: "silu",
  hidden_size: 2048,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_parameters: {
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
    rope_theta: 500000,
    rope_type: "llama3",
  },
  tie_word_embeddings: true,
  vocab_size: 128256,
};

const qwen2 = {
  ...llama2,
  architectures: ["Qwen2ForCausalLM"],
  model_type: "qwen2",
  num_key_value_heads: 4,
  rope_theta: 1e6,
  sliding_window: 131072,
  use_sliding_window: false,
};

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
  const biased = linearModules(spec).filter(({ hasBias }) => hasBias).map(({ name }) =>
    name.split(".").at(-1)
  );
  assertEquals(new Set(biased), new Set(["q_proj", "k_proj", "v_proj"]));
});

Deno.test("Mistral: no window where it says null, 4096 where it says nothing, and longer documents are refused", () => {
  const mistral = {
    ...llama2,
    architectures: ["MistralForCausalLM"],
    model_type: "mistral",
    num_key_value_heads: 8,
  };
  assertEquals(parseTransformerSpec({ ...mistral, sliding_window: null }).slidingWindow, null);
  const windowed = parseTransformerSpec(mistral);
  assertEquals(windowed.slidingWindow, 4096);
  assertEquals(ropeTable(windowed, 4096).cos.length, 4096 * 64);
  assertThrows(() => ropeTable(windowed, 4097), LoraFleetError, "sliding_window is 4096");
});

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
  assert(modules.every(({ hasBias, layer }, i) => !hasBias && layer === Math.floor(i / 7)));
});

const nf4Config = { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" };
const refused: [title: string, config: unknown, field: string, words: string][] = [
  ["not an object", [llama2], "config.json", "JSON object"],
  [
    "another architecture",
    { ...llama2, architectures: ["GPT2LMHeadModel"] },
    "architectures",
    "GPT2LMHeadModel",
  ],
  [
    "another head",
    { ...llama2, architectures: ["LlamaForSequenceClassification"] },
    "architectures",
    "LlamaForSequenceClassification",
  ],
  ["no head", { ...llama2, architectures: ["LlamaModel"] }, "architectures", "LlamaModel"],
  ["another type", { ...llama2, model_type: "gemma2" }, "model_type", '"gemma2"'],
  [
    "a type that is not known, under a known architecture",
    { ...llama2, model_type: "my_llama" },
    "model_type",
    '"llama", "mistral", "qwen2"',
  ],
  [
    "neither type nor architecture",
    { ...llama2, model_type: undefined, architectures: [] },
    "model_type",
    "architectures is empty, too",
  ],
  [
    "a causal architecture that is not known, without a type",
    { ...llama2, model_type: null, architectures: ["FalconForCausalLM"] },
    "architectures",
    "FalconForCausalLM",
  ],
  ["another activation", { ...llama2, hidden_act: "gelu" }, "hidden_act", '"gelu"'],
  ["a size that is missing", { ...llama2, vocab_size: undefined }, "vocab_size", "undefined"],
  ["a size that is text", { ...llama2, hidden_size: "4096" }, "hidden_size", '"4096"'],
  ["a size of zero", { ...llama2, num_hidden_layers: 0 }, "num_hidden_layers", "0"],
  ["a bias on o_proj", { ...llama2, attention_bias: true }, "attention_bias", "o_proj"],
  ["a bias in the MLP", { ...llama2, mlp_bias: true }, "mlp_bias", "false"],
  ["heads that do not divide", { ...llama2, num_key_value_heads: 5 }, "num_key_value_heads", "32"],
  ["a hidden size that heads do not divide", { ...llama2, hidden_size: 4100 }, "num_attention_heads", "4100"],
  ["an odd head", { ...llama2, head_dim: 63 }, "head_dim", "even"],
  [
    "LongRoPE",
    { ...llama2, rope_scaling: { type: "longrope", factor: 4 } },
    "rope_scaling.rope_type",
    '"longrope"',
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

Deno.test("a checkpoint that is NF4 already is accepted", () => {
  assertEquals(
    parseTransformerSpec({ ...llama2, quantization_config: nf4Config }),
    parseTransformerSpec(llama2),
  );
});

Deno.test("RoPE: position 0 does not turn, angles grow by the frequencies, linear scaling stretches them", () => {
  const spec = parseTransformerSpec(llama2);
  const { cos, sin } = ropeTable(spec, 3);
  const frequencies = inverseFrequencies(spec);
  assertEquals(frequencies[0], 1);
  assertAlmostEquals(frequencies[63]!, 10000 ** (-126 / 128), 1e-11);
  for (let i = 0; i < 64; i++) {
    assertEquals([cos[i], sin[i]], [1, 0]);
    assertAlmostEquals(cos[128 + i]!, Math.cos(2 * frequencies[i]!), 1e-7);
    assertAlmostEquals(sin[128 + i]!, Math.sin(2 * frequencies[i]!), 1e-7);
  }
  const stretched = parseTransformerSpec({ ...llama2, rope_scaling: { type: "linear", factor: 4 } });
  assertEquals(inverseFrequencies(stretched), frequencies.map((frequency) => frequency / 4));
});

Deno.test("RoPE of llama3: short waves as they are, long ones stretched by the factor, a blend between", () => {
  const plain = inverseFrequencies(
    parseTransformerSpec({ ...llama32, rope_parameters: { rope_theta: 500000 } }),
  );
  const scaled = inverseFrequencies(parseTransformerSpec(llama32));
  plain.forEach((frequency, i) => {
    const turns = 8192 * frequency / (2 * Math.PI);
    if (turns > 4) assertEquals(scaled[i], frequency);
    else if (turns < 1) assertEquals(scaled[i], frequency / 32);
    else {
      const smooth = (turns - 1) / 3;
      const blend = (1 - smooth) * frequency / 32 + smooth * frequency;
      assertAlmostEquals(scaled[i]!, blend, 1e-6 * blend);
    }
  });
  assert(plain.some((frequency, i) => scaled[i]! < frequency && scaled[i]! > frequency / 32));
});

Deno.test("model_type decides, as in transformers, whatever the architecture is called", () => {
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

Deno.test("null is absence, and what is absent is the configuration class's default", () => {
  const nulls = { tie_word_embeddings: null, hidden_act: null, mlp_bias: null, quantization_config: null };
  assertEquals(parseTransformerSpec({ ...llama2, ...nulls }), parseTransformerSpec(llama2));
  for (const model_type of ["llama", "mistral", "qwen2"]) {
    const spec = parseTransformerSpec({ ...llama2, model_type, tie_word_embeddings: undefined });
    assertEquals(spec.tieWordEmbeddings, false);
  }
  assertEquals(parseTransformerSpec({ ...llama2, quantization_config: {} }), parseTransformerSpec(llama2));
});

Deno.test("swish is silu, and an eos_token_id of -1 is none", () => {
  assertEquals(parseTransformerSpec({ ...llama2, hidden_act: "swish" }), parseTransformerSpec(llama2));
  const eosOf = (eos_token_id: unknown) => parseTransformerSpec({ ...llama2, eos_token_id }).eosTokenIds;
  assertEquals([eosOf(-1), eosOf([2, -1]), eosOf(7)], [[], [2], [7]]);
});

Deno.test("Qwen2's window counts where a layer has it", () => {
  const windowOf = (changes: object) =>
    parseTransformerSpec({ ...qwen2, use_sliding_window: true, ...changes }).slidingWindow;
  assertEquals(windowOf({}), 131072); // 32 layers, of which the first 28 have none unless told
  assertEquals(windowOf({ max_window_layers: 32 }), null);
  assertEquals(windowOf({ sliding_window: null }), null);
  assertEquals(windowOf({ layer_types: ["full_attention"] }), null);
  assertEquals(windowOf({ layer_types: ["full_attention", "sliding_attention"] }), 131072);
});

Deno.test("dynamic RoPE is exact up to max_position_embeddings, and longer documents are refused", () => {
  const spec = parseTransformerSpec({ ...llama2, rope_scaling: { type: "dynamic", factor: 2 } });
  assertEquals(inverseFrequencies(spec), inverseFrequencies(parseTransformerSpec(llama2)));
  assertEquals(ropeTable(spec, 4096).cos.length, 4096 * 64);
  assertThrows(
    () => ropeTable(spec, 4097),
    LoraFleetError,
    "max_position_embeddings is 4096, and its dynamic RoPE",
  );
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
