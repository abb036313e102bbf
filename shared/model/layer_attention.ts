/** Which layers attend within a sliding window, as the families' configuration classes decide it. */
import { type ConfigJson, refuse } from "./config_json.ts";
import type { FamilyTraits } from "./transformer_spec.ts";

type Attention = Pick<FamilyTraits, "slidingWindow" | "attention">;

/**
 * All layers alike.
 * @param window null: queries see all of their document before them
 */
export function uniformAttention({ num_hidden_layers: count }: ConfigJson, window: number | null): Attention {
  return attentionOf(window, Array(count).fill(window !== null));
}

/**
 * The layers that `layer_types` calls "sliding_attention"; without it, those from `max_window_layers` on.
 * @param ifAbsent the configuration class's `sliding_window`
 */
export function attentionByLayer(config: ConfigJson, ifAbsent: number | null): Attention {
  const { num_hidden_layers: count, layer_types: types, max_window_layers: first = 28 } = config;
  const given = config.sliding_window === undefined ? ifAbsent : config.sliding_window;
  const window = config.use_sliding_window === true ? given : null;
  const named = namedLayers(types, count);
  if (named?.includes(true) && window === null) {
    const right =
      `"sliding_attention" needs use_sliding_window true, which is ${config.use_sliding_window}, and a ` +
      `sliding_window, which is ${config.sliding_window}`;
    throw refuse("layer_types", types, right);
  }
  return attentionOf(window, named ?? Array.from({ length: count }, (_, layer) => layer >= first));
}

/**
 * The layers that `layer_types` calls "sliding_attention"; without it, all but each `pattern`th.
 * @param local.localRope the windowed layers' place in `ropes`
 */
export function alternatingAttention(
  config: ConfigJson,
  { pattern, localRope }: { readonly pattern: number; readonly localRope: number },
): Attention {
  const { num_hidden_layers: count, layer_types: types, sliding_window: window } = config;
  const layers = namedLayers(types, count) ??
    Array.from({ length: count }, (_, layer) => (layer + 1) % pattern !== 0);
  if (layers.includes(true) && (window === undefined || window === null)) {
    throw refuse("sliding_window", window, "layers of sliding_attention need a number of tokens");
  }
  const { slidingWindow, attention } = attentionOf(window ?? null, layers);
  return {
    slidingWindow,
    attention: attention.map((layer) => layer.isWindowed ? { ...layer, rope: localRope } : layer),
  };
}

/** Whether `layer_types` gives each layer a window; null if it is absent. */
export function namedLayers(types: readonly string[] | undefined, count: number): boolean[] | null {
  if (types === undefined) return null;
  if (types.length !== count) {
    throw refuse("layer_types", types, `it names ${types.length} layers, and num_hidden_layers is ${count}`);
  }
  return types.map((type) => type === "sliding_attention");
}

function attentionOf(window: number | null, layers: readonly boolean[]): Attention {
  const attention = layers.map((isWindowed) => ({ isWindowed: isWindowed && window !== null, rope: 0 }));
  return { slidingWindow: attention.some(({ isWindowed }) => isWindowed) ? window : null, attention };
}
