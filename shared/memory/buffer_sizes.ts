/** The byte length of every GPU buffer besides the base model's weights. */
import { adapterParts } from "./adapter_parts.ts";
import { GRADIENT_BLOCK_SIZE } from "../model/gradient_layout.ts";
import { linearRoles } from "../model/model_tensors.ts";
import { longRopeStart, ropeTableRows } from "../model/positions/long_rope.ts";
import { windowWithin } from "../model/positions/sliding_window.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";
import type { LoraPlan } from "./lora_plan.ts";
import type { TableFormats } from "./table_sizes.ts";

/** Byte lengths by buffer name. */
export type Sizes = Readonly<Record<string, number>>;

export interface PlanOptions {
  readonly maxTokens: number;
  /** Rows of the logits; more are processed one block after the other, without a gradient. Default: maxTokens. */
  readonly maxHeadRows?: number;
  readonly maxPositions: number;
  readonly doubleQuantization: boolean;
  /** Layers that keep their activations from forward to backward, from 1 on (kept_layers.ts). */
  readonly keptLayers: number;
  /** Kept layers share the buffers that norms and the gated unit fill again (activation_slabs.ts). Default: false. */
  readonly remakesActivations?: boolean;
  /** The largest buffer that one kernel can bind. */
  readonly maxTensorBytes: number;
  /** Whether gradients are needed: false for evaluation and generation. */
  readonly training: boolean;
  /** How the checkpoint's tables lie on the GPU. Default: in f32. */
  readonly tables?: TableFormats;
  /** A part of the adapter has at most this size. Default: what one kernel can bind. */
  readonly adapterPartBytes?: number;
  /** Logits of at most this size exist at once; a larger vocabulary is processed in chunks. Default: 256 MiB. */
  readonly logitsChunkBytes?: number;
}

export const F32 = 4;

/** Bytes that a tensor of `byteLength` takes: whole words, and at least one, because an empty buffer cannot be bound. */
export function allocationSize(byteLength: number): number {
  return Math.max(4, Math.ceil(byteLength / 4) * 4);
}

const LOGITS_CHUNK_BYTES = 256 * 2 ** 20;

/** The activations that one layer keeps from its forward for its backward pass; T tokens. */
export function activationSizes(spec: TransformerSpec, lora: LoraPlan, tokens: number) {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headDim } = spec;
  const rows = (columns: number) => tokens * columns * F32;
  const [hidden, inner] = [rows(hiddenSize), rows(intermediateSize)];
  const [query, keyValue] = [rows(headCount * headDim), rows(kvHeadCount * headDim)];
  return {
    /** RMSNorm of the layer's input: the input of q, k and v [T, hidden]. */
    attentionInput: hidden,
    attentionRstd: tokens * F32,
    query,
    key: keyValue,
    value: keyValue,
    /** [heads, T] */
    attentionLse: headCount * tokens * F32,
    /** Input of o [T, heads·headDim]. */
    attentionOutput: query,
    /** The residual stream between attention and MLP [T, hidden]. */
    middle: hidden,
    mlpInput: hidden,
    mlpRstd: tokens * F32,
    gate: inner,
    up: inner,
    /** Input of down [T, intermediate]. */
    mlpInner: inner,
    /** A·x of each linear layer [layers, T, rank]; slices start at multiples of 256 bytes. */
    loraInner: linearRoles(spec).length * loraInnerStride(lora, tokens),
    ...(spec.queryKeyNorm && {
      /** Query and key before their norm. */
      queryRaw: query,
      keyRaw: keyValue,
      /** [T, heads] */
      queryRstd: rows(headCount),
      keyRstd: rows(kvHeadCount),
    }),
    ...(spec.postNorms && {
      /** Results of o and down before their norm [T, hidden]. */
      attentionResult: hidden,
      attentionPostRstd: tokens * F32,
      mlpResult: hidden,
      mlpPostRstd: tokens * F32,
    }),
  } as const satisfies Sizes;
}

/** Bytes from one linear layer's A·x to the next one's. */
export function loraInnerStride(lora: LoraPlan, tokens: number): number {
  return Math.ceil(tokens * lora.rank * F32 / 256) * 256;
}

/** The buffers besides weights and the layers' activations. */
export function workspaceSizes(spec: TransformerSpec, lora: LoraPlan, options: PlanOptions) {
  const { maxTokens: tokens, training } = options;
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headDim } = spec;
  const widest = Math.max(hiddenSize, intermediateSize, headCount * headDim);
  const backward = (columns: number) => training ? tokens * columns * F32 : 0;
  const indices = tokens * F32;
  const ropeBytes = ropeRanges(spec, options.maxPositions).reduce(
    (_, range) => range.offset + range.length,
    0,
  );
  return {
    tokens: indices,
    labels: indices,
    /** The row of each token's position in the tables of cosines and sines. */
    ropeRows: indices,
    keyStarts: indices,
    keyEnds: indices,
    queryEnds: indices,
    ...(windowWithin(spec, options.maxPositions) !== null && {
      /** keyStarts and queryEnds of windowed layers. */
      windowKeyStarts: indices,
      windowQueryEnds: indices,
    }),
    /** Rows that have a label, or whose next token is generated. */
    headRows: indices,
    ropeCos: ropeBytes,
    ropeSin: ropeBytes,
    headInput: tokens * hiddenSize * F32,
    headNormed: tokens * hiddenSize * F32,
    headRstd: tokens * F32,
    logits: headRowsOf(options) * chunkColumns(spec, options) * F32,
    lossStats: tokens * 3 * F32,
    /** The summed loss, and the number of hits. */
    loss: 2 * F32,
    /** The most likely next token of each row of the head. */
    bestLogit: indices,
    bestToken: indices,
    ...(spec.fusedProjections && {
      /** Results of a fused layer side by side, or their gradients. */
      fused: tokens * fusedColumns(spec) * F32,
    }),
    /** Dropout's result, and the gradient that dropout will mask [T, widest]. */
    dropped: lora.dropout > 0 ? tokens * widest * F32 : 0,
    dHeadNormed: backward(hiddenSize),
    dHeadInput: backward(hiddenSize),
    dHidden: backward(hiddenSize),
    dNormed: backward(hiddenSize),
    dQuery: backward(headCount * headDim),
    dKey: backward(kvHeadCount * headDim),
    dValue: backward(kvHeadCount * headDim),
    dAttentionOutput: backward(headCount * headDim),
    attentionDelta: backward(headCount),
    dMlpInner: backward(intermediateSize),
    dLoraInner: backward(lora.rank),
  } as const satisfies Sizes;
}

/** The widest result of a fused layer; 0 without fused layers. */
export function fusedColumns(
  spec: Pick<
    TransformerSpec,
    "fusedProjections" | "headCount" | "kvHeadCount" | "headDim" | "intermediateSize"
  >,
): number {
  const { fusedProjections, headCount, kvHeadCount, headDim, intermediateSize } = spec;
  return fusedProjections ? Math.max((headCount + 2 * kvHeadCount) * headDim, 2 * intermediateSize) : 0;
}

/** The bytes of each rope's cosines, or sines, in the buffer of all; they start at multiples of 256 bytes. */
export function ropeRanges(spec: Pick<TransformerSpec, "ropes">, maxPositions: number) {
  const rows = ropeTableRows(maxPositions, longRopeStart(spec, maxPositions));
  let end = 0;
  return spec.ropes.map(({ dimensions }) => {
    const offset = Math.ceil(end / 256) * 256;
    const length = rows * dimensions / 2 * F32;
    end = offset + length;
    return { offset, length };
  });
}

/** The adapter, its gradient and the integer sums: one of each for every part; beside them what all parts share. */
export function adapterSizes(lora: LoraPlan, options: PlanOptions) {
  const { training, maxTensorBytes, adapterPartBytes = maxTensorBytes } = options;
  const tensors = training ? lora.layout.tensors.length * F32 : 0;
  return {
    parts: adapterParts(lora.layout, Math.min(adapterPartBytes, maxTensorBytes)).map((part) => {
      const flat = part.count * F32;
      const sizes = {
        adapter: flat,
        gradient: training ? flat : 0,
        gradientSums: training ? flat : 0,
        tensorOfBlock: training ? flat / GRADIENT_BLOCK_SIZE : 0,
      } as const satisfies Sizes;
      return { part, sizes };
    }),
    shared: { gradientMaxBits: tensors, gradientScales: tensors } as const satisfies Sizes,
  };
}

/** One linear layer in NF4. */
export function linearSizes(rows: number, columns: number, options: { doubleQuantization: boolean }) {
  const blocks = Math.ceil(rows * columns / 64);
  const codes = Math.ceil(rows * columns / 2);
  return options.doubleQuantization
    ? { codes, absmax: blocks, nestedAbsmax: Math.ceil(blocks / 256) * F32 }
    : { codes, absmax: blocks * F32 };
}

export function headRowsOf({ maxTokens, maxHeadRows = maxTokens }: PlanOptions): number {
  return Math.min(maxTokens, maxHeadRows);
}

/**
 * Columns of the vocabulary that one logits chunk holds; also the rows of one slab of both tables. As if tables were in f32,
 * whatever they are in: the number of chunks decides in which order sums are taken, and so the bits of a gradient.
 */
export function chunkColumns(spec: TransformerSpec, options: PlanOptions): number {
  const { logitsChunkBytes = LOGITS_CHUNK_BYTES } = options;
  const rows = headRowsOf(options);
  const byLogits = Math.floor(logitsChunkBytes / (rows * F32));
  const byBinding = Math.floor(options.maxTensorBytes / (Math.max(spec.hiddenSize, rows) * F32));
  return Math.max(1, Math.min(spec.vocabSize, byLogits, byBinding));
}
