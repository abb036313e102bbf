/**
 * A base model's shape, read once from Hugging Face's `config.json`: one description for the whole Llama family, so that
 * no code below it asks which family it is.
 */
export { parseTransformerSpec } from "./transformer_spec_parse.ts";

export type Architecture = "LlamaForCausalLM" | "MistralForCausalLM" | "Qwen2ForCausalLM";

/** How RoPE's frequencies were stretched for longer contexts. */
export type RopeScaling =
  | {
    readonly kind: "llama3";
    readonly factor: number;
    readonly lowFrequencyFactor: number;
    readonly highFrequencyFactor: number;
    readonly originalMaxPositions: number;
  }
  | { readonly kind: "linear"; readonly factor: number }
  /** Changes nothing up to `maxPositionEmbeddings`; beyond, the frequencies depend on the longest row of a batch. */
  | { readonly kind: "dynamic"; readonly factor: number }
  | {
    readonly kind: "yarn";
    readonly factor: number;
    /** Of cosines and sines. */
    readonly attentionFactor: number;
    readonly betaFast: number;
    readonly betaSlow: number;
    readonly originalMaxPositions: number;
    /** Whether the ends of the blend are rounded to whole dimensions. */
    readonly truncate: boolean;
  };

export interface TransformerSpec {
  readonly architecture: Architecture;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layerCount: number;
  /** Query heads. */
  readonly headCount: number;
  /** Key and value heads; divides `headCount`. */
  readonly kvHeadCount: number;
  readonly headDim: number;
  readonly rmsNormEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  readonly maxPositionEmbeddings: number;
  /** The output layer is the embedding table, unless the checkpoint stores one of other values (tied_head.ts). */
  readonly tieWordEmbeddings: boolean;
  /** q_proj, k_proj and v_proj have a bias (Qwen2); nothing else ever has. */
  readonly attentionBias: boolean;
  /** The window of attention in tokens; documents up to this length are not touched by it. Null: none. */
  readonly slidingWindow: number | null;
  /** What the checkpoint is stored in, as config.json says; null where it is silent. The tensors have the last word. */
  readonly torchDtype: "float32" | "float16" | "bfloat16" | null;
  readonly eosTokenIds: readonly number[];
}

/** How long a document may be for its positions to be computed exactly, and the field of config.json that says so. */
export interface PositionLimit {
  readonly field: "sliding_window" | "max_position_embeddings";
  readonly positions: number;
  readonly reason: string;
}

/** Null where documents of any length are computed as transformers does. */
export function positionLimit(spec: TransformerSpec): PositionLimit | null {
  const { slidingWindow, ropeScaling, maxPositionEmbeddings } = spec;
  if (
    ropeScaling?.kind === "dynamic" && (slidingWindow === null || maxPositionEmbeddings <= slidingWindow)
  ) {
    return {
      field: "max_position_embeddings",
      positions: maxPositionEmbeddings,
      reason: "its dynamic RoPE depends beyond that on what else is in a batch, which is not supported",
    };
  }
  if (slidingWindow === null) return null;
  const reason = "attention within a window is not supported";
  return { field: "sliding_window", positions: slidingWindow, reason };
}

/** A linear layer that is quantised and may carry LoRA: weight [outFeatures, inFeatures]. */
export interface LinearModule {
  /** Hugging Face's module name: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly layer: number;
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly hasBias: boolean;
}

/** The seven linear layers of each transformer layer, in the order in which they are computed. */
export function linearModules(spec: TransformerSpec): LinearModule[] {
  const { hiddenSize, intermediateSize, attentionBias } = spec;
  const querySize = spec.headCount * spec.headDim;
  const kvSize = spec.kvHeadCount * spec.headDim;
  const parts: [name: string, outFeatures: number, inFeatures: number, hasBias: boolean][] = [
    ["self_attn.q_proj", querySize, hiddenSize, attentionBias],
    ["self_attn.k_proj", kvSize, hiddenSize, attentionBias],
    ["self_attn.v_proj", kvSize, hiddenSize, attentionBias],
    ["self_attn.o_proj", hiddenSize, querySize, false],
    ["mlp.gate_proj", intermediateSize, hiddenSize, false],
    ["mlp.up_proj", intermediateSize, hiddenSize, false],
    ["mlp.down_proj", hiddenSize, intermediateSize, false],
  ];
  return Array.from(
    { length: spec.layerCount },
    (_, layer) =>
      parts.map(([part, outFeatures, inFeatures, hasBias]) => ({
        name: `model.layers.${layer}.${part}`,
        layer,
        outFeatures,
        inFeatures,
        hasBias,
      })),
  ).flat();
}
