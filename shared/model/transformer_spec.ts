/** The shape of a base model, in one form for all families, so that later code never branches on the family. */

/** How RoPE's frequencies are stretched for longer contexts. */
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
    /** Scales cosines and sines. */
    readonly attentionFactor: number;
    readonly betaFast: number;
    readonly betaSlow: number;
    readonly originalMaxPositions: number;
    /** Whether the ends of the blend are rounded to whole dimensions. */
    readonly truncate: boolean;
  }
  | {
    readonly kind: "longrope";
    /** One divisor of the frequency for each rotated pair, in documents of up to `originalMaxPositions` tokens. */
    readonly shortFactors: readonly number[];
    /** The same, in longer documents. */
    readonly longFactors: readonly number[];
    /** Scales cosines and sines. */
    readonly attentionFactor: number;
    readonly originalMaxPositions: number;
  };

/** A way to rotate queries and keys by their positions. */
export interface Rope {
  readonly theta: number;
  readonly scaling: RopeScaling | null;
  /** The first elements of each head, which are rotated; even. */
  readonly dimensions: number;
}

/** What distinguishes the attention of a layer from that of the others. */
export interface LayerAttention {
  /** Whether a query sees only the last `slidingWindow` tokens of its document, its own included. */
  readonly isWindowed: boolean;
  /** Its place in `ropes`; null: the layer knows no positions. */
  readonly rope: number | null;
}

/** The differences between families; `FAMILIES` (families.ts) derives them from config.json. */
export interface FamilyTraits {
  /** Of q_proj, k_proj and v_proj. */
  readonly attentionBias: boolean;
  /** Of o_proj. */
  readonly outputBias: boolean;
  /** Of gate_proj, up_proj and down_proj. */
  readonly mlpBias: boolean;
  /** q_proj, k_proj and v_proj are one matrix, and so are gate_proj and up_proj; then heads have no norms. */
  readonly fusedProjections: boolean;
  /** RMSNorm of each query and key head, before RoPE. */
  readonly queryKeyNorm: boolean;
  /** Tokens that a query of a windowed layer sees, its own included; null if no layer is windowed. */
  readonly slidingWindow: number | null;
  /** One for each layer. */
  readonly attention: readonly LayerAttention[];
  /** Of the MLP's gate, by the name that transformers' ACT2FN has for it. */
  readonly activation: "silu" | "gelu_pytorch_tanh";
  /** A second norm behind attention and behind the MLP, before the residual stream is added. */
  readonly postNorms: boolean;
  /** Added to each norm's stored weight: 1 if a fresh model stores zeros. */
  readonly normOffset: 0 | 1;
  /** Factor of the embeddings, which the output layer does not have. */
  readonly embeddingScale: number;
  /** Factor of q · k; null: 1/√headDim. */
  readonly attentionScale: number | null;
  /** Scores s of attention become c · tanh(s / c); null: they stay. */
  readonly attentionSoftCap: number | null;
  /** The same for the logits. */
  readonly logitSoftCap: number | null;
}

export interface TransformerSpec extends FamilyTraits {
  /** The class of transformers: `LlamaForCausalLM`. */
  readonly architecture: string;
  /** The module with embeddings, layers and final norm. The second one lies beside a part that sees images. */
  readonly textModule: "model" | "model.language_model";
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
  /** Those that `attention` refers to. */
  readonly ropes: readonly Rope[];
  readonly maxPositionEmbeddings: number;
  /** The output layer is the embedding table, unless the checkpoint stores different values for it (tied_head.ts). */
  readonly tieWordEmbeddings: boolean;
  /** The checkpoint's dtype by config.json, which the stored tensors override; null if absent. */
  readonly torchDtype: "float32" | "float16" | "bfloat16" | null;
  readonly eosTokenIds: readonly number[];
}
