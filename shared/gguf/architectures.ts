/** The families that llama.cpp knows, and what it computes of each. */
import { LoraFleetError, quote } from "../errors.ts";
import type { RopeScaling, TransformerSpec } from "../model/transformer_spec.ts";

/** llama.cpp reads sizes from a file, and takes the rest of a family for given: what follows says what that is. */
export interface GgufArchitecture {
  readonly name: string;
  /**
   * RoPE turns neighbouring elements instead of the halves of a head, so that the rows of queries and keys are interleaved
   * (`permute` of LlamaModel in convert_hf_to_gguf.py).
   */
  readonly interleavesHeads: boolean;
  /** o_proj and the MLP may have biases. */
  readonly hasBiases?: boolean;
  /** All query heads together are as wide as the hidden size. */
  readonly headsFillHidden?: boolean;
  /** The output layer is the embedding table. */
  readonly isTied?: boolean;
  /** Scores and logits are always soft-capped. */
  readonly isCapped?: boolean;
  readonly scalings: readonly RopeScaling["kind"][];
  /** Each layer of this number has no positions. */
  readonly unrotatedStep?: number;
  /** Layers with a window: each but those of this number, unless the file says otherwise. Absent: none has. */
  readonly windowStep?: number;
  /** Windowed layers have a RoPE of their own, which is not scaled. */
  readonly hasLocalRope?: boolean;
  /** Attention is scaled by 1/√headDim; with this number of layers, by 1/√(hidden size / heads). */
  readonly layersOfWideScale?: number;
}

const PLAIN_SCALINGS = ["linear", "dynamic", "yarn"] as const;
const LLAMA: GgufArchitecture = {
  name: "llama",
  interleavesHeads: true,
  hasBiases: true,
  scalings: [...PLAIN_SCALINGS, "llama3", "longrope"],
};
const GEMMA3: GgufArchitecture = {
  name: "gemma3",
  interleavesHeads: false,
  scalings: ["linear", "dynamic"],
  windowStep: 6,
  hasLocalRope: true,
  layersOfWideScale: 62,
};

/** By the class of transformers. As src/models of llama.cpp computes them. */
const ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  LlamaForCausalLM: LLAMA,
  MistralForCausalLM: LLAMA,
  Qwen2ForCausalLM: {
    name: "qwen2",
    interleavesHeads: false,
    headsFillHidden: true,
    scalings: PLAIN_SCALINGS,
  },
  Qwen3ForCausalLM: { name: "qwen3", interleavesHeads: false, scalings: PLAIN_SCALINGS },
  Phi3ForCausalLM: { name: "phi3", interleavesHeads: false, headsFillHidden: true, scalings: ["longrope"] },
  Gemma2ForCausalLM: {
    name: "gemma2",
    interleavesHeads: false,
    isTied: true,
    isCapped: true,
    scalings: ["linear", "dynamic"],
    windowStep: 2,
    layersOfWideScale: 46,
  },
  Gemma3ForCausalLM: GEMMA3,
  // Its language model; llama.cpp has the part that sees images in a file of its own.
  Gemma3ForConditionalGeneration: GEMMA3,
  SmolLM3ForCausalLM: { name: "smollm3", interleavesHeads: true, scalings: PLAIN_SCALINGS, unrotatedStep: 4 },
};

/** @throws LoraFleetError `invalid_request` for a model that has no form in GGUF here */
export function ggufArchitecture(spec: TransformerSpec): GgufArchitecture {
  const found = ARCHITECTURES[spec.architecture];
  const known = Object.keys(ARCHITECTURES).join(", ");
  if (found === undefined) throw refuse(`the base model is a ${spec.architecture}; there are ${known}`);
  const reason = layerReason(spec, found) ?? ropeReason(spec, found) ?? attentionReason(spec, found);
  if (reason !== null) throw refuse(reason);
  return found;
}

function refuse(reason: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `GGUF is not possible for this model: ${reason}`, {
    param: "kind",
  });
}

function layerReason(spec: TransformerSpec, found: GgufArchitecture): string | null {
  const { architecture, outputBias, mlpBias, tieWordEmbeddings, headCount, headDim, hiddenSize } = spec;
  if (outputBias && found.hasBiases !== true) return `its ${architecture} has attention_bias`;
  if (mlpBias && found.hasBiases !== true) return `its ${architecture} has mlp_bias`;
  if (found.isTied === true && !tieWordEmbeddings) {
    return `its tie_word_embeddings is false, and llama.cpp takes the embeddings of a ${architecture} for its output`;
  }
  if (found.headsFillHidden === true && headCount * headDim !== hiddenSize) {
    return `its ${headCount} heads of ${headDim} are not as wide as hidden_size, which is ${hiddenSize}`;
  }
  return null;
}

function ropeReason(spec: TransformerSpec, found: GgufArchitecture): string | null {
  const { ropes, attention, architecture } = spec;
  const step = found.unrotatedStep;
  const isRotated = (layer: number) => step === undefined || (layer + 1) % step !== 0;
  if (attention.some(({ rope }, layer) => (rope !== null) !== isRotated(layer))) {
    const right = step === undefined ? "all layers" : `all but each ${step}th layer`;
    return `llama.cpp turns ${right} of a ${architecture} by positions, this model has others without`;
  }
  if (ropes.length > 1 && found.hasLocalRope !== true) return "its layers have different RoPEs";
  const [global, local] = ropes;
  const scaling = global!.scaling;
  if (scaling !== null && !found.scalings.includes(scaling.kind)) {
    return `llama.cpp has no RoPE scaled by ${scaling.kind} for a ${architecture}`;
  }
  if (scaling?.kind === "yarn" && !scaling.truncate) return "its RoPE is scaled by yarn with truncate false";
  return local === undefined || local.scaling === null ? null : "the RoPE of its windowed layers is scaled";
}

function attentionReason(spec: TransformerSpec, found: GgufArchitecture): string | null {
  const { attentionScale, attentionSoftCap, logitSoftCap, headDim, hiddenSize, headCount, layerCount } = spec;
  const width = layerCount === found.layersOfWideScale ? Math.floor(hiddenSize / headCount) : headDim;
  if (attentionScale !== null && Math.abs(attentionScale * Math.sqrt(width) - 1) > 1e-6) {
    return `its query_pre_attn_scalar is ${
      quote(Math.round(1e6 / attentionScale ** 2) / 1e6)
    }, and llama.cpp ` +
      `takes ${width} for it`;
  }
  if (found.isCapped !== true) return null;
  if (attentionSoftCap === null) return "its attn_logit_softcapping is null, and llama.cpp has one always";
  return logitSoftCap === null ? "its final_logit_softcapping is null, and llama.cpp has one always" : null;
}
