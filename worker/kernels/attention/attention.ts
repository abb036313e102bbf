/** Flash attention over key ranges, forward and backward; the algorithm is in the WGSL. */
import type { Pass } from "../../device/pass.ts";
import type { KernelArguments } from "../../device/kernel.ts";
import {
  type AttentionKernels,
  attentionKernels,
  type AttentionVariant,
  chooseAttention,
} from "./attention_kernels.ts";

/** The widest head: its q and out fill a good part of a GPU's registers. */
const MAX_HEAD_DIM = 256;

/**
 * Query head h of `headCount` attends with key–value head ⌊h / (headCount / kvHeadCount)⌋; `scale` is the factor of q · k, as a
 * rule 1/√headDim. `variant` replaces the choice by head size and processor, for tests.
 */
type Call<Name extends "forward" | "dq" | "dkv"> = KernelArguments<AttentionKernels[Name]> & {
  headDim: number;
  /** Scores s = scale · q · k become c · tanh(s / c); null or absent: they stay. */
  softCap?: number | null;
  variant?: AttentionVariant;
  /** Pairs of a query and a key that it sees, by which the time is told; left out: those of one causal document. */
  pairs?: number;
};

/**
 * out = softmax(scale · q · kᵀ) · v for each query over its own range of keys, and lse, which the backward needs.
 * @param call.q [queryCount, headCount · headDim], as `out`
 * @param call.k [keys, kvHeadCount · headDim], as `v`: any number of keys
 * @param call.lse becomes the natural logarithm of Σ exp(score) [headCount, queryCount]
 * @param call.keyStarts query t attends to the keys keyStarts[t] … keyEnds[t] − 1, at least one [queryCount], u32
 * @throws RangeError if the head counts do not divide or heads are wider than 256
 */
export function encodeAttention(pass: Pass, call: Call<"forward">): void {
  const { forward, forwardGroups } = kernelsFor(pass, call);
  const { queryCount, headCount } = call;
  pass.dispatch(forward, call, forwardGroups(queryCount, headCount), flopsOf(call, queryCount, 2));
}

/**
 * Writes dq [tokens, headCount · headDim] and dk, dv [tokens, kvHeadCount · headDim] for causal attention within
 * documents: query t saw the keys keyStarts[t] … t, key j was seen by the queries j … queryEnds[j] − 1. Inputs and outputs of the
 * forward come with the gradient dOut of out [tokens, headCount · headDim].
 * @param call.delta becomes rowsum(dOut · out) [headCount, tokens]
 * @param call.keyStarts the first token of each token's document [tokens], u32, as `queryEnds` the end; never decrease
 * @throws RangeError if the head counts do not divide or heads are wider than 256
 */
export function encodeAttentionBackward(pass: Pass, call: Call<"dq"> & Call<"dkv">): void {
  const { dq, dkv, backwardGroups } = kernelsFor(pass, call);
  const { tokenCount, headCount, kvHeadCount } = call;
  pass.dispatch(dq, call, backwardGroups(tokenCount, headCount), flopsOf(call, tokenCount, 3));
  pass.dispatch(dkv, call, backwardGroups(tokenCount, kvHeadCount), flopsOf(call, tokenCount, 4));
}

/** Floating-point operations of `products` products of each query with the keys that it sees. */
function flopsOf(
  { headCount, headDim, pairs }: HeadSizes & { readonly pairs?: number },
  tokens: number,
  products: number,
): number {
  return 2 * products * headCount * headDim * (pairs ?? tokens * (tokens + 1) / 2);
}

type HeadSizes = Pick<Call<"forward">, "headCount" | "kvHeadCount" | "headDim" | "softCap" | "variant">;

function kernelsFor(pass: Pass, sizes: HeadSizes): AttentionKernels {
  const { headCount, kvHeadCount, headDim, softCap = null, variant } = sizes;
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
  return attentionKernels(headDim, variant ?? chooseAttention(headDim, pass.processor), softCap);
}
