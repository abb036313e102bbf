/** Flash attention over key ranges, forward and backward; the sources say how. */
import { defineKernel } from "../device/kernel.ts";
import type { Pass } from "../device/pass.ts";
import type { GpuTensor } from "../device/tensor.ts";
import { loadRows, rowBinding, storeRows } from "./attention_access.ts";
import forwardSource from "./attention_rows.wgsl" with { type: "text" };
import dkvSource from "./attention_rows_dkv.wgsl" with { type: "text" };
import dqSource from "./attention_rows_dq.wgsl" with { type: "text" };

/** The widest head: its q and out fill a fair part of a GPU's registers. */
const MAX_HEAD_DIM = 256;

/** Heads and their sizes. */
interface Heads {
  /** Query heads; a multiple of kvHeadCount. */
  headCount: number;
  /** Query head h attends with key–value head ⌊h / (headCount / kvHeadCount)⌋. */
  kvHeadCount: number;
  headDim: number;
  /** Factor of q · k, as a rule 1/√headDim. */
  scale: number;
}

/** Queries, or keys, of a workgroup. */
const LANES = 32;

/**
 * out = softmax(scale · q · kᵀ) · v for each query over its own range of keys, and lse, which the backward needs.
 * @throws RangeError where the heads do not fit each other or are wider than 256
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
  checkHeads(call);
  pass.dispatch(kernelsFor(call.headDim).forward, {
    params: { queryCount, headCount, kvHeadCount, scale },
    tensors: { q, k, v, keyStarts, keyEnds, out, lse },
    groups: [Math.ceil(queryCount / LANES), headCount],
  });
}

/**
 * Writes dq [tokens, headCount · headDim] and dk, dv [tokens, kvHeadCount · headDim] for causal attention within
 * documents: query t saw the keys keyStarts[t] … t, key j was seen by the queries j … queryEnds[j] − 1.
 * @throws RangeError where the heads do not fit each other or are wider than 256
 */
export function encodeAttentionBackward(
  pass: Pass,
  call: Heads & {
    /** What the forward read and wrote. */
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
    /** Where each token's document begins [tokens], u32; never decreases. */
    keyStarts: GpuTensor;
    /** Where each token's document ends [tokens], u32; never decreases. */
    queryEnds: GpuTensor;
    tokenCount: number;
  },
): void {
  const { q, k, v, out, lse, dOut, delta, dq, dk, dv, keyStarts, queryEnds } = call;
  const { tokenCount, headCount, kvHeadCount, headDim, scale } = call;
  checkHeads(call);
  const kernels = kernelsFor(headDim);
  const params = { tokenCount, headCount, kvHeadCount, scale };
  const tiles = Math.ceil(tokenCount / LANES);
  pass.dispatch(kernels.dq, {
    params,
    tensors: { q, k, v, out, dOut, lse, keyStarts, dq, delta },
    groups: [tiles, headCount],
  });
  pass.dispatch(kernels.dkv, {
    params,
    tensors: { q, k, v, dOut, lse, delta, queryEnds, dk, dv },
    groups: [tiles, kvHeadCount],
  });
}

function checkHeads({ headCount, kvHeadCount, headDim }: Heads): void {
  if (headCount % kvHeadCount !== 0) {
    throw new RangeError(
      `attention: ${headCount} query heads cannot be shared among ${kvHeadCount} key–value heads`,
    );
  }
  if (headDim < 1 || headDim > MAX_HEAD_DIM) {
    throw new RangeError(`attention: heads of ${headDim} values; the kernels take 1 to ${MAX_HEAD_DIM}`);
  }
}

const kernelsByHeadDim = new Map<number, ReturnType<typeof makeKernels>>();

function kernelsFor(headDim: number) {
  let kernels = kernelsByHeadDim.get(headDim);
  if (kernels === undefined) kernelsByHeadDim.set(headDim, kernels = makeKernels(headDim));
  return kernels;
}

function makeKernels(headDim: number) {
  const read = rowBinding("read", headDim);
  const write = rowBinding("read_write", headDim);
  const loads = (...names: string[]) => names.map((name) => loadRows(name, headDim)).join("");
  const stores = (...names: string[]) => names.map((name) => storeRows(name, headDim)).join("");
  const constants = { HEAD_DIM: headDim, HEAD_DIM4: Math.ceil(headDim / 4), LANES };
  const params = { headCount: "u32", kvHeadCount: "u32", scale: "f32" } as const;
  return {
    forward: defineKernel({
      label: "attention",
      source: loads("q", "k", "v") + stores("out") + forwardSource,
      params: { queryCount: "u32", ...params },
      bindings: {
        q: read,
        k: read,
        v: read,
        keyStarts: "read u32",
        keyEnds: "read u32",
        out: write,
        lse: "read_write f32",
      },
      constants: { ...constants, KEYS: headDim <= 64 ? 4 : 1 },
    }),
    dq: defineKernel({
      label: "attention_dq",
      source: loads("q", "k", "v", "out", "dOut") + stores("dq") + dqSource,
      params: { tokenCount: "u32", ...params },
      bindings: {
        q: read,
        k: read,
        v: read,
        out: read,
        dOut: read,
        lse: "read f32",
        keyStarts: "read u32",
        dq: write,
        delta: "read_write f32",
      },
      constants: { ...constants, KEYS: headDim <= 64 ? 4 : 1 },
    }),
    dkv: defineKernel({
      label: "attention_dkv",
      source: loads("q", "k", "v", "dOut") + stores("dk", "dv") + dkvSource,
      params: { tokenCount: "u32", ...params },
      bindings: {
        dk: write,
        dv: write,
        q: read,
        k: read,
        v: read,
        dOut: read,
        lse: "read f32",
        delta: "read f32",
        queryEnds: "read u32",
      },
      constants: { ...constants, QUERIES: headDim <= 64 ? 4 : 1 },
    }),
  };
}
