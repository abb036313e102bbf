/** Flash attention over key ranges, forward and backward; the algorithm is in the WGSL. */
import type { Pass } from "../../device/pass.ts";
import type { GpuTensor } from "../../device/tensor.ts";
import { attentionKernels, type AttentionVariant, chooseAttention } from "./attention_kernels.ts";

/** The widest head: its q and out fill a good part of a GPU's registers. */
const MAX_HEAD_DIM = 256;

interface Heads {
  /** Query heads; a multiple of kvHeadCount. */
  headCount: number;
  /** Query head h attends with key–value head ⌊h / (headCount / kvHeadCount)⌋. */
  kvHeadCount: number;
  headDim: number;
  /** Factor of q · k, as a rule 1/√headDim. */
  scale: number;
  /** The default follows from the head size and the processor. */
  variant?: AttentionVariant;
}

/**
 * out = softmax(scale · q · kᵀ) · v for each query over its own range of keys, and lse, which the backward needs.
 * @throws RangeError if the head counts do not divide or heads are wider than 256
 */
export function encodeAttention(
  pass: Pass,
  call: Heads & {
    /** [queryCount, headCount · headDim], as `out`. */
    q: GpuTensor;
    /** [keys, kvHeadCount · headDim], as `v`: any number of keys. */
    k: GpuTensor;
    v: GpuTensor;
    out: GpuTensor;
    /** The natural logarithm of Σ exp(scale · q · k) [headCount, queryCount]. */
    lse: GpuTensor;
    /** Query t attends to the keys keyStarts[t] … keyEnds[t] − 1, at least one [queryCount], u32. */
    keyStarts: GpuTensor;
    keyEnds: GpuTensor;
    queryCount: number;
  },
): void {
  const { q, k, v, out, lse, keyStarts, keyEnds, queryCount, headCount, kvHeadCount, scale } = call;
  const { forward, forwardGroups } = kernelsFor(pass, call);
  pass.dispatch(forward, {
    params: { queryCount, headCount, kvHeadCount, scale },
    tensors: { q, k, v, keyStarts, keyEnds, out, lse },
    groups: forwardGroups(queryCount, headCount),
  });
}

/**
 * Writes dq [tokens, headCount · headDim] and dk, dv [tokens, kvHeadCount · headDim] for causal attention within
 * documents: query t saw the keys keyStarts[t] … t, key j was seen by the queries j … queryEnds[j] − 1.
 * @throws RangeError if the head counts do not divide or heads are wider than 256
 */
export function encodeAttentionBackward(
  pass: Pass,
  call: Heads & {
    /** The inputs and outputs of the forward. */
    q: GpuTensor;
    k: GpuTensor;
    v: GpuTensor;
    out: GpuTensor;
    lse: GpuTensor;
    /** The gradient of out [tokens, headCount · headDim]. */
    dOut: GpuTensor;
    /** Becomes rowsum(dOut · out) [headCount, tokens]. */
    delta: GpuTensor;
    dq: GpuTensor;
    dk: GpuTensor;
    dv: GpuTensor;
    /** The first token of each token's document [tokens], u32; never decreases. */
    keyStarts: GpuTensor;
    /** The end of each token's document [tokens], u32; never decreases. */
    queryEnds: GpuTensor;
    tokenCount: number;
  },
): void {
  const { q, k, v, out, lse, dOut, delta, dq, dk, dv, keyStarts, queryEnds } = call;
  const { tokenCount, headCount, kvHeadCount, scale } = call;
  const kernels = kernelsFor(pass, call);
  const params = { tokenCount, headCount, kvHeadCount, scale };
  pass.dispatch(kernels.dq, {
    params,
    tensors: { q, k, v, out, dOut, lse, keyStarts, dq, delta },
    groups: kernels.backwardGroups(tokenCount, headCount),
  });
  pass.dispatch(kernels.dkv, {
    params,
    tensors: { q, k, v, dOut, lse, delta, queryEnds, dk, dv },
    groups: kernels.backwardGroups(tokenCount, kvHeadCount),
  });
}

function kernelsFor(pass: Pass, { headCount, kvHeadCount, headDim, variant }: Heads) {
  if (headCount % kvHeadCount !== 0) {
    throw new RangeError(
      `encoding attention: ${headCount} query heads cannot be shared among ${kvHeadCount} key–value heads`,
    );
  }
  if (headDim < 1 || headDim > MAX_HEAD_DIM) {
    throw new RangeError(
      `encoding attention: heads of ${headDim} values; the kernels take 1 to ${MAX_HEAD_DIM}`,
    );
  }
  return attentionKernels(headDim, variant ?? chooseAttention(headDim, pass.processor));
}
