/** SmolLM3's layers: some have no positions, and only those may have a window. */
import { type ConfigJson, refuse } from "./config_json.ts";
import { namedLayers } from "./layer_attention.ts";
import type { FamilyTraits } from "./transformer_spec.ts";

/** Without `layer_types` the layers without positions have the window, if it is used. */
export function smollm3Attention(config: ConfigJson): Pick<FamilyTraits, "slidingWindow" | "attention"> {
  const { use_sliding_window: isUsed, sliding_window: window = null } = config;
  const rotated = rotatedLayers(config);
  const named = namedLayers(config.layer_types, config.num_hidden_layers);
  if (named?.includes(true) && window === null) {
    const right = `"sliding_attention" needs a sliding_window, which is ${config.sliding_window}`;
    throw refuse("layer_types", config.layer_types, right);
  }
  const windowed = named ?? rotated.map((isRotated) => !isRotated && isUsed === true && window !== null);
  return {
    slidingWindow: windowed.includes(true) ? window : null,
    attention: rotated.map((isRotated, layer) => (
      { isWindowed: windowed[layer]!, rope: isRotated ? 0 : null }
    )),
  };
}

/** `no_rope_layers` has a 1 for each layer that is rotated; without it, each `no_rope_layer_interval`-th is not. */
function rotatedLayers(config: ConfigJson): boolean[] {
  const { num_hidden_layers: count, no_rope_layers: given, no_rope_layer_interval: interval = 4 } = config;
  if (given === undefined) return Array.from({ length: count }, (_, layer) => (layer + 1) % interval !== 0);
  if (given.length !== count) {
    throw refuse(
      "no_rope_layers",
      given,
      `it names ${given.length} layers, and num_hidden_layers is ${count}`,
    );
  }
  return given.map((flag) => flag !== 0);
}
