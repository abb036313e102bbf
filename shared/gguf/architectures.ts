/** The families that llama.cpp knows: their metadata, and what it calls their tensors. */
import { LoraFleetError, quote } from "../errors.ts";
import type { ModelTensor } from "../model/model_tensors.ts";
import type { Rope, TransformerSpec } from "../model/transformer_spec.ts";
import type { GgufMetadata } from "./format.ts";

export interface GgufArchitecture {
  readonly name: string;
  /**
   * RoPE turns neighbouring elements instead of the halves of a head, so that the rows of queries and keys are interleaved
   * (`permute` of LlamaModel in convert_hf_to_gguf.py).
   */
  readonly interleavesHeads: boolean;
}

/** By the class of transformers. */
const ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  LlamaForCausalLM: { name: "llama", interleavesHeads: true },
  MistralForCausalLM: { name: "llama", interleavesHeads: true },
  Qwen2ForCausalLM: { name: "qwen2", interleavesHeads: false },
  Qwen3ForCausalLM: { name: "qwen3", interleavesHeads: false },
};

/** @throws LoraFleetError `invalid_request` for a model that has no form in GGUF here */
export function ggufArchitecture(spec: TransformerSpec): GgufArchitecture {
  const found = ARCHITECTURES[spec.architecture];
  const known = Object.keys(ARCHITECTURES).join(", ");
  if (found === undefined) throw refuse(`the base model is a ${spec.architecture}; there are ${known}`);
  const hasOneRope = spec.ropes.length === 1 && spec.attention.every(({ rope }) => rope === 0);
  if (!hasOneRope) throw refuse("its layers have different RoPEs, or none");
  if (spec.ropes[0]!.scaling?.kind === "longrope") throw refuse("its RoPE is scaled by longrope");
  if (spec.outputBias && found.name !== "llama") throw refuse(`its ${spec.architecture} has attention_bias`);
  return found;
}

function refuse(reason: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `GGUF is not possible for this model: ${reason}`, {
    param: "kind",
  });
}

const u32 = (value: number) => ({ type: "u32", value }) as const;
const f32 = (value: number) => ({ type: "f32", value }) as const;
const text = (value: string) => ({ type: "string", value }) as const;

/** The sizes of the model, under the architecture's name. */
export function architectureMetadata(spec: TransformerSpec): GgufMetadata {
  const { name } = ggufArchitecture(spec);
  const rope = spec.ropes[0]!;
  const fields: GgufMetadata = [
    ["vocab_size", u32(spec.vocabSize)],
    ["block_count", u32(spec.layerCount)],
    ["context_length", u32(contextLength(spec))],
    ["embedding_length", u32(spec.hiddenSize)],
    ["feed_forward_length", u32(spec.intermediateSize)],
    ["attention.head_count", u32(spec.headCount)],
    ["attention.head_count_kv", u32(spec.kvHeadCount)],
    ["attention.key_length", u32(spec.headDim)],
    ["attention.value_length", u32(spec.headDim)],
    ["attention.layer_norm_rms_epsilon", f32(spec.rmsNormEpsilon)],
    ["rope.dimension_count", u32(rope.dimensions)],
    ["rope.freq_base", f32(rope.theta)],
    ...ropeScaling(rope),
  ];
  return fields.map(([key, value]) => [`${name}.${key}`, value]);
}

/** llama.cpp computes these families without a window, so that their context ends where a window would begin to matter. */
function contextLength({ slidingWindow, attention, maxPositionEmbeddings }: TransformerSpec): number {
  const isWindowed = slidingWindow !== null && attention.some((layer) => layer.isWindowed);
  return isWindowed ? Math.min(slidingWindow, maxPositionEmbeddings) : maxPositionEmbeddings;
}

function ropeScaling({ scaling }: Rope): GgufMetadata {
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
    // "dynamic" changes nothing within the context, and "llama3" is a tensor.
    default:
      return [];
  }
}

/** Llama 3's RoPE: the divisor of each frequency, `rope_freqs.weight`; null for other RoPEs. */
export function ropeFactors(spec: TransformerSpec): Float32Array | null {
  const { scaling, theta, dimensions } = spec.ropes[0]!;
  if (scaling?.kind !== "llama3") return null;
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions: original } =
    scaling;
  return Float32Array.from({ length: dimensions / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** (2 * i / dimensions);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

const NAMES: Readonly<Record<string, string>> = {
  embeddings: "token_embd",
  head: "output",
  finalNorm: "output_norm",
  attentionNorm: "attn_norm",
  mlpNorm: "ffn_norm",
  queryNorm: "attn_q_norm",
  keyNorm: "attn_k_norm",
  query: "attn_q",
  key: "attn_k",
  value: "attn_v",
  output: "attn_output",
  gate: "ffn_gate",
  up: "ffn_up",
  down: "ffn_down",
};

type Placed = Pick<ModelTensor, "name" | "layer"> & { readonly role: string };

/** llama.cpp's name: `blk.0.attn_q.weight`. */
export function ggufTensorName({ name, role, layer }: Placed): string {
  const own = NAMES[role];
  if (own === undefined) throw new RangeError(`tensor ${quote(name)} has no name in GGUF`);
  const suffix = name.slice(name.lastIndexOf("."));
  return layer === null ? own + suffix : `blk.${layer}.${own}${suffix}`;
}

/** Heads whose rows are interleaved; 0 for a tensor that keeps its order. */
export function interleavedHeads({ role }: Pick<Placed, "role">, spec: TransformerSpec): number {
  if (!ggufArchitecture(spec).interleavesHeads) return 0;
  return role === "query" ? spec.headCount : role === "key" ? spec.kvHeadCount : 0;
}

/** Within each head, row i of the first half and row i of the second become neighbours. `values` holds whole heads. */
export function interleaveHeads(values: Float32Array, headDim: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  const half = headDim / 2;
  for (let row = 0; row * columns < values.length; row++) {
    const [head, within] = [Math.floor(row / headDim), row % headDim];
    const source = head * headDim + (within % 2) * half + Math.floor(within / 2);
    result.set(values.subarray(source * columns, (source + 1) * columns), row * columns);
  }
  return result;
}
