import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { phi3 } from "./config_fixture.ts";
import { linearModules, modelModules } from "./model_tensors.ts";
import { parseTransformerSpec } from "./parse_transformer_spec.ts";

/** What Phi-3-mini-128k's config.json has besides. */
const LONG = {
  max_position_embeddings: 131072,
  rope_scaling: { type: "longrope", short_factor: Array(48).fill(1.05), long_factor: Array(48).fill(8) },
  sliding_window: 262144,
};

Deno.test("Phi-3-mini-4k: a window of 2047 in all layers, and one matrix each for q, k, v and for gate, up", () => {
  const spec = parseTransformerSpec(phi3);
  assertEquals([spec.architecture, spec.slidingWindow, spec.headDim], ["Phi3ForCausalLM", 2047, 96]);
  assertEquals(spec.attention, Array(32).fill({ isWindowed: true, rope: 0 }));
  assertEquals(spec.ropes, [{ theta: 10000, scaling: null, dimensions: 96 }]);
  const { linear, other } = modelModules({ ...spec, layerCount: 1 });
  assertEquals(linear.map(({ name, outFeatures, inFeatures }) => [name, outFeatures, inFeatures]), [
    ["model.layers.0.self_attn.qkv_proj", 9216, 3072],
    ["model.layers.0.self_attn.o_proj", 3072, 3072],
    ["model.layers.0.mlp.gate_up_proj", 16384, 3072],
    ["model.layers.0.mlp.down_proj", 3072, 8192],
  ]);
  assertEquals(other.filter((name) => /dropout|activation/.test(name)), [
    "model.layers.0.mlp.activation_fn",
    "model.layers.0.resid_attn_dropout",
    "model.layers.0.resid_mlp_dropout",
  ]);
});

Deno.test("Phi-3: grouped key–value heads follow the query heads in qkv_proj", () => {
  const spec = parseTransformerSpec({ ...phi3, num_key_value_heads: 8 });
  assertEquals(linearModules(spec)[0]!.outFeatures, (32 + 2 * 8) * 96);
});

Deno.test("Phi-3-mini-128k: LongRoPE, also under its old names, around 4096 positions if nothing else is said", () => {
  const { ropes } = parseTransformerSpec({ ...phi3, ...LONG });
  const { scaling } = ropes[0]!;
  if (scaling?.kind !== "longrope") throw new Error(`the rope is ${scaling?.kind}`);
  assertEquals([scaling.originalMaxPositions, scaling.shortFactors[47], scaling.longFactors[0]], [
    4096,
    1.05,
    8,
  ]);
  assertAlmostEquals(scaling.attentionFactor, Math.sqrt(1 + Math.log(32) / Math.log(4096)), 1e-15);
  for (const type of ["su", "yarn"]) {
    const old = { ...LONG, rope_scaling: { ...LONG.rope_scaling, type } };
    assertEquals(parseTransformerSpec({ ...phi3, ...old }).ropes, ropes);
  }
  const { original_max_position_embeddings: _, ...bare } = { ...phi3, ...LONG };
  const within = { ...bare, rope_scaling: { ...LONG.rope_scaling, original_max_position_embeddings: 7 } };
  // Phi3Config's own field overrules the one among the parameters.
  assertEquals(parseTransformerSpec(within).ropes, ropes);
});

Deno.test("Phi-4-mini: a part of each head is rotated", () => {
  const factors = { short_factor: Array(36).fill(1), long_factor: Array(36).fill(4) };
  const config = {
    ...phi3,
    ...LONG,
    partial_rotary_factor: 0.75,
    rope_scaling: { type: "longrope", ...factors },
    tie_word_embeddings: true,
  };
  const spec = parseTransformerSpec(config);
  assertEquals([spec.ropes[0]!.dimensions, spec.headDim, spec.tieWordEmbeddings], [72, 96, true]);
  const within = {
    ...config.rope_scaling,
    rope_type: "longrope",
    partial_rotary_factor: 0.75,
    rope_theta: 1e4,
  };
  const newer = {
    ...config,
    rope_scaling: undefined,
    partial_rotary_factor: undefined,
    rope_parameters: within,
  };
  assertEquals(parseTransformerSpec(newer).ropes, spec.ropes);
});

const REFUSED: [title: string, changes: object, field: string, words: string][] = [
  [
    "a different kind of RoPE",
    { rope_scaling: { type: "linear", factor: 2 } },
    "rope_scaling.rope_type",
    'one of "default", "longrope", "su", "yarn" is supported',
  ],
  [
    "factors for whole heads",
    { ...LONG, partial_rotary_factor: 0.5 },
    "rope_scaling.short_factor",
    "24 rotated pairs",
  ],
  ["an odd part of a head", { partial_rotary_factor: 0.74 }, "partial_rotary_factor", "rotates 71 of"],
  [
    "more than a head",
    { partial_rotary_factor: 1.5 },
    "partial_rotary_factor",
    "an even number from 2 to 96",
  ],
  ["dropout in the residual stream", { resid_pdrop: 0.1 }, "resid_pdrop", "only 0"],
];
for (const [title, changes, field, words] of REFUSED) {
  Deno.test(`Phi-3 is refused with ${title}`, () => {
    const error = assertThrows(() => parseTransformerSpec({ ...phi3, ...changes }), LoraFleetError, words);
    assertEquals([error.code, error.param], ["invalid_model", field]);
  });
}
