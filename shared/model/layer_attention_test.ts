import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { llama2, llama32, qwen2, qwen3 } from "./config_fixture.ts";
import { parseTransformerSpec } from "./parse_transformer_spec.ts";

/** The window, and the numbers of the layers that have it. */
function windowsOf(config: object) {
  const { slidingWindow, attention } = parseTransformerSpec(config);
  return [slidingWindow, attention.flatMap(({ isWindowed }, layer) => isWindowed ? [layer] : [])];
}

const mistral = {
  ...llama2,
  architectures: ["MistralForCausalLM"],
  model_type: "mistral",
  num_hidden_layers: 2,
};

Deno.test("Llama's layers see whole documents, at the positions of one rope", () => {
  const { slidingWindow, attention } = parseTransformerSpec({ ...llama32, num_hidden_layers: 2 });
  assertEquals(slidingWindow, null);
  assertEquals(attention, [{ isWindowed: false, rope: 0 }, { isWindowed: false, rope: 0 }]);
});

Deno.test("all of Mistral's layers have the window: 4096 if the field is absent, none if it is null", () => {
  assertEquals(windowsOf(mistral), [4096, [0, 1]]);
  assertEquals(windowsOf({ ...mistral, sliding_window: 7 }), [7, [0, 1]]);
  assertEquals(windowsOf({ ...mistral, sliding_window: null }), [null, []]);
});

for (const [name, config] of Object.entries({ qwen2, qwen3 })) {
  const used = { ...config, num_hidden_layers: 4, max_window_layers: 2, use_sliding_window: true };

  Deno.test(`${name}: the layers from max_window_layers on have the window, if it is used`, () => {
    assertEquals(windowsOf({ ...used, sliding_window: 9 }), [9, [2, 3]]);
    assertEquals(windowsOf({ ...used, sliding_window: undefined }), [4096, [2, 3]]);
    assertEquals(windowsOf({ ...used, sliding_window: null }), [null, []]);
    assertEquals(windowsOf({ ...used, max_window_layers: 4 }), [null, []]);
    assertEquals(windowsOf({ ...used, max_window_layers: undefined }), [null, []]);
    assertEquals(windowsOf({ ...used, use_sliding_window: false }), [null, []]);
    assertEquals(
      windowsOf({ ...used, num_hidden_layers: 30, max_window_layers: undefined, sliding_window: 9 }),
      [9, [28, 29]],
    );
  });

  Deno.test(`${name}: layer_types overrules max_window_layers`, () => {
    const [full, sliding] = ["full_attention", "sliding_attention"];
    const layer_types = [sliding, full, sliding, full];
    assertEquals(windowsOf({ ...used, sliding_window: 9, layer_types }), [9, [0, 2]]);
    assertEquals(windowsOf({ ...used, sliding_window: 9, layer_types: Array(4).fill(full) }), [null, []]);
    for (const unusable of [{ use_sliding_window: false }, { sliding_window: null }]) {
      const error = assertThrows(
        () => windowsOf({ ...used, sliding_window: 9, layer_types, ...unusable }),
        LoraFleetError,
        '"sliding_attention" needs use_sliding_window true',
      );
      assertEquals(error.param, "layer_types");
    }
    assertThrows(
      () => windowsOf({ ...used, layer_types: [full] }),
      LoraFleetError,
      "it names 1 layers, and num_hidden_layers is 4",
    );
  });
}
