/** What llama.cpp calls the tensors of a model, and how it orders their rows. */
import { quote } from "../errors.ts";
import type { ModelTensor } from "../model/model_tensors.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";
import { ggufArchitecture } from "./architectures.ts";

const NAMES: Readonly<Record<string, string>> = {
  embeddings: "token_embd",
  head: "output",
  finalNorm: "output_norm",
  attentionNorm: "attn_norm",
  mlpNorm: "ffn_norm",
  attentionPostNorm: "post_attention_norm",
  mlpPostNorm: "post_ffw_norm",
  queryNorm: "attn_q_norm",
  keyNorm: "attn_k_norm",
  query: "attn_q",
  key: "attn_k",
  value: "attn_v",
  queryKeyValue: "attn_qkv",
  output: "attn_output",
  gate: "ffn_gate",
  up: "ffn_up",
  gateUp: "ffn_up",
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
