/** The sizes of a model as llama.cpp reads them, under the architecture's name. */
import type { Rope, TransformerSpec } from "../model/transformer_spec.ts";
import { type GgufArchitecture, ggufArchitecture } from "./architectures.ts";
import type { GgufMetadata } from "./format.ts";

const u32 = (value: number) => ({ type: "u32", value }) as const;
const f32 = (value: number) => ({ type: "f32", value }) as const;
const text = (value: string) => ({ type: "string", value }) as const;

/** @throws LoraFleetError `invalid_request` for a model that has no form in GGUF here */
export function architectureMetadata(spec: TransformerSpec): GgufMetadata {
  const found = ggufArchitecture(spec);
  const rope = spec.ropes[0]!;
  const fields: GgufMetadata = [
    ["vocab_size", u32(spec.vocabSize)],
    ["block_count", u32(spec.layerCount)],
    ["context_length", u32(contextLength(spec, found))],
    ["embedding_length", u32(spec.hiddenSize)],
    ["feed_forward_length", u32(spec.intermediateSize)],
    ["attention.head_count", u32(spec.headCount)],
    ["attention.head_count_kv", u32(spec.kvHeadCount)],
    ["attention.key_length", u32(spec.headDim)],
    ["attention.value_length", u32(spec.headDim)],
    ["attention.layer_norm_rms_epsilon", f32(spec.rmsNormEpsilon)],
    ["rope.dimension_count", u32(rope.dimensions)],
    ["rope.freq_base", f32(rope.theta)],
    ...ropeScaling(rope, found),
    ...softCaps(spec),
    ...found.name === "phi3" ? phi3Fields(spec) : windowFields(spec, found),
  ];
  return fields.map(([key, value]) => [`${found.name}.${key}`, value]);
}

/** For architectures that llama.cpp computes without a window, the context ends where a window would begin to matter. */
function contextLength(
  { slidingWindow, attention, maxPositionEmbeddings }: TransformerSpec,
  { windowStep }: GgufArchitecture,
): number {
  const isWindowed = slidingWindow !== null && attention.some((layer) => layer.isWindowed);
  const isLost = isWindowed && windowStep === undefined;
  return isLost ? Math.min(slidingWindow, maxPositionEmbeddings) : maxPositionEmbeddings;
}

function ropeScaling({ scaling }: Rope, { name }: GgufArchitecture): GgufMetadata {
  switch (scaling?.kind) {
    case "linear":
      return [["rope.scaling.type", text("linear")], ["rope.scaling.factor", f32(scaling.factor)]];
    case "yarn": {
      // llama.cpp multiplies by this itself.
      const own = 1 + 0.1 * Math.log(scaling.factor);
      const extra = scaling.attentionFactor / own;
      return [
        ["rope.scaling.type", text("yarn")],
        ["rope.scaling.factor", f32(scaling.factor)],
        ["rope.scaling.original_context_length", u32(scaling.originalMaxPositions)],
        ["rope.scaling.yarn_beta_fast", f32(scaling.betaFast)],
        ["rope.scaling.yarn_beta_slow", f32(scaling.betaSlow)],
        ...Math.abs(extra - 1) < 1e-6 ? [] : [["rope.scaling.attn_factor", f32(extra)] as const],
      ];
    }
    case "longrope":
      return [
        // Phi-3 needs no name for it: its factors are there or not.
        ...name === "phi3" ? [] : [
          ["rope.scaling.type", text("longrope")] as const,
          ["rope.scaling.original_context_length", u32(scaling.originalMaxPositions)] as const,
        ],
        ["rope.scaling.attn_factor", f32(scaling.attentionFactor)],
      ];
    // "dynamic" changes nothing within the context, and "llama3" is a tensor.
    default:
      return [];
  }
}

function softCaps({ attentionSoftCap: scores, logitSoftCap: logits }: TransformerSpec): GgufMetadata {
  return [
    ...scores === null ? [] : [["attn_logit_softcapping", f32(scores)] as const],
    ...logits === null ? [] : [["final_logit_softcapping", f32(logits)] as const],
  ];
}

/** Up to the original context the short factors hold; a window of 0 says that there is none. */
function phi3Fields({ ropes, slidingWindow, maxPositionEmbeddings }: TransformerSpec): GgufMetadata {
  const scaling = ropes[0]!.scaling;
  const original = scaling?.kind === "longrope" ? scaling.originalMaxPositions : maxPositionEmbeddings;
  return [
    ["rope.scaling.original_context_length", u32(original)],
    ["attention.sliding_window", u32(slidingWindow ?? 0)],
  ];
}

/** Layers are named only where llama.cpp would choose others. */
function windowFields(spec: TransformerSpec, { windowStep, hasLocalRope }: GgufArchitecture): GgufMetadata {
  if (windowStep === undefined) return [];
  const { slidingWindow, attention, ropes } = spec;
  const windowed = attention.map((layer) => layer.isWindowed);
  const isUsual = windowed.every((isWindowed, layer) => isWindowed === ((layer + 1) % windowStep !== 0));
  const isNamed = !isUsual && (slidingWindow !== null || hasLocalRope !== true);
  return [
    ...slidingWindow === null ? [] : [["attention.sliding_window", u32(slidingWindow)] as const],
    ...isNamed ? [["attention.sliding_window_pattern", { type: "bools", value: windowed }] as const] : [],
    ...hasLocalRope === true && slidingWindow !== null
      ? [["rope.freq_base_swa", f32(ropes[1]!.theta)] as const]
      : [],
  ];
}
