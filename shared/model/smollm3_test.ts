import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { smollm3 } from "./config_fixture.ts";
import { parseTransformerSpec } from "./parse_transformer_spec.ts";

/** The window, and for each layer its rope, with a w in windowed ones. */
function layersOf(changes: object) {
  const { slidingWindow, attention } = parseTransformerSpec({ ...smollm3, num_hidden_layers: 4, ...changes });
  return [
    slidingWindow,
    attention.map(({ isWindowed, rope }) => `${rope ?? "-"}${isWindowed ? "w" : ""}`).join(),
  ];
}

Deno.test("SmolLM3-3B: every fourth layer has no positions", () => {
  const spec = parseTransformerSpec(smollm3);
  assertEquals([spec.architecture, spec.slidingWindow, spec.headDim], ["SmolLM3ForCausalLM", null, 128]);
  assertEquals(
    spec.attention.flatMap(({ rope }, layer) => rope === null ? [layer] : []),
    [3, 7, 11, 15, 19, 23, 27, 31, 35],
  );
  assertEquals(spec.ropes, [{ theta: 5e6, scaling: null, dimensions: 128 }]);
});

Deno.test("SmolLM3's defaults: four key–value heads, tied embeddings, its own theta", () => {
  const { rope_theta: _theta, tie_word_embeddings: _tie, num_key_value_heads: _heads, ...bare } = smollm3;
  const spec = parseTransformerSpec(bare);
  assertEquals([spec.kvHeadCount, spec.tieWordEmbeddings, spec.ropes[0]!.theta], [4, true, 2e6]);
});

Deno.test("SmolLM3: no_rope_layers overrules the interval; windows are for layers without positions", () => {
  const no_rope_layers = [0, 1, 1, 0];
  const window = { use_sliding_window: true, sliding_window: 9 };
  const bare = { layer_types: null, no_rope_layers: null };
  assertEquals(layersOf({ ...bare }), [null, "0,0,0,-"]);
  assertEquals(layersOf({ ...bare, no_rope_layer_interval: 2 }), [null, "0,-,0,-"]);
  assertEquals(layersOf({ ...bare, no_rope_layers }), [null, "-,0,0,-"]);
  assertEquals(layersOf({ ...bare, no_rope_layers, ...window }), [9, "-w,0,0,-w"]);
  assertEquals(layersOf({ ...bare, no_rope_layers, ...window, use_sliding_window: false }), [
    null,
    "-,0,0,-",
  ]);
  const layer_types = ["full_attention", "sliding_attention", "full_attention", "full_attention"];
  assertEquals(layersOf({ no_rope_layers, ...window, layer_types }), [9, "-,0w,0,-"]);
});

Deno.test("SmolLM3's lists of layers have to fit", () => {
  const refused = (changes: object, words: string) =>
    assertThrows(
      () => layersOf({ layer_types: null, no_rope_layers: null, ...changes }),
      LoraFleetError,
      words,
    );
  refused({ no_rope_layers: [1, 0] }, "it names 2 layers, and num_hidden_layers is 4");
  refused({ layer_types: ["full_attention"] }, "it names 1 layers, and num_hidden_layers is 4");
  refused({ layer_types: Array(4).fill("sliding_attention") }, "needs a sliding_window");
  refused({ layer_types: Array(4).fill("chunked_attention") }, '"full_attention", "sliding_attention"');
});
