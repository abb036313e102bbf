/**
 * The static memory plan: every GPU buffer of a fine-tune, known before the first one is allocated. It is the answer to
 * "will it fit?", and buffers are allocated from it alone, so that it cannot lie.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { allocationSize } from "../device/gpu.ts";
import type { LoraPlan } from "./lora.ts";
import { adviceFor, adviceOf } from "./memory_plan_advice.ts";
import { DYNAMIC_MAP } from "../nf4/nf4.ts";
import { linearModules, type TransformerSpec } from "./transformer_spec.ts";

/** Byte lengths by buffer name. */
export type Sizes = Readonly<Record<string, number>>;

export interface PlanOptions {
  readonly maxTokens: number;
  readonly maxPositions: number;
  readonly doubleQuantization: boolean;
  readonly gradientCheckpointing: boolean;
  /** The largest buffer that one kernel can bind. */
  readonly maxTensorBytes: number;
  /** Whether gradients are needed: evaluation and generation do without. */
  readonly training: boolean;
  /** Logits of at most this size exist at once; a larger vocabulary is walked in chunks. 256 MiB if left out. */
  readonly logitsChunkBytes?: number;
}

const F32 = 4;

/** A plan of at most this size burdens no device. */
const EASY_BYTES = 2 ** 30;

const LOGITS_CHUNK_BYTES = 256 * 2 ** 20;

/** What one layer keeps from its forward pass for its backward pass. T tokens. */
export function activationSizes(spec: TransformerSpec, lora: LoraPlan, tokens: number) {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headDim } = spec;
  const [hidden, query, keyValue, inner] = [
    hiddenSize,
    headCount * headDim,
    kvHeadCount * headDim,
    intermediateSize,
  ]
    .map((columns) => tokens * columns * F32) as [number, number, number, number];
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
    /** A·x of each of the seven linear layers [7, T, rank]; slices start at multiples of 256 bytes. */
    loraInner: 7 * loraInnerStride(lora, tokens),
  } as const satisfies Sizes;
}

/** Bytes from one linear layer's A·x to the next one's. */
export function loraInnerStride(lora: LoraPlan, tokens: number): number {
  return Math.ceil(tokens * lora.rank * F32 / 256) * 256;
}

/** What the whole model needs beside its weights and the layers' activations. */
export function workspaceSizes(spec: TransformerSpec, lora: LoraPlan, options: PlanOptions) {
  const { maxTokens: tokens, training } = options;
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headDim } = spec;
  const widest = Math.max(hiddenSize, intermediateSize, headCount * headDim);
  const backward = (columns: number) => training ? tokens * columns * F32 : 0;
  const indices = tokens * F32;
  return {
    tokens: indices,
    labels: indices,
    positions: indices,
    keyStarts: indices,
    keyEnds: indices,
    queryEnds: indices,
    /** Rows whose label counts, or whose next token is wanted. */
    headRows: indices,
    ropeCos: options.maxPositions * headDim / 2 * F32,
    ropeSin: options.maxPositions * headDim / 2 * F32,
    headInput: tokens * hiddenSize * F32,
    headNormed: tokens * hiddenSize * F32,
    headRstd: tokens * F32,
    logits: tokens * chunkColumns(spec, options) * F32,
    lossStats: tokens * 3 * F32,
    loss: F32,
    /** The most likely next token of each row of the head. */
    bestLogit: indices,
    bestToken: indices,
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

/** The adapter and what a step does with its gradient, flat in the layout's order. */
export function adapterSizes(lora: LoraPlan, training: boolean) {
  const flat = lora.layout.elementCount * F32;
  return {
    adapter: flat,
    gradient: training ? flat : 0,
    gradientSums: training ? flat : 0,
    tensorOfBlock: training ? flat / 64 : 0,
    gradientMaxBits: training ? lora.layout.tensors.length * F32 : 0,
    gradientScales: training ? lora.layout.tensors.length * F32 : 0,
  } as const satisfies Sizes;
}

/** One NF4 linear layer. */
function linearSizes(rows: number, columns: number, options: { doubleQuantization: boolean }) {
  const blocks = Math.ceil(rows * columns / 64);
  const codes = Math.ceil(rows * columns / 2);
  return options.doubleQuantization
    ? { codes, absmax: blocks, nestedAbsmax: Math.ceil(blocks / 256) * F32 }
    : { codes, absmax: blocks * F32 };
}

/** Columns of the vocabulary that one logits chunk holds; also the rows of one slab of the output layer. */
export function chunkColumns(spec: TransformerSpec, options: PlanOptions): number {
  const { logitsChunkBytes = LOGITS_CHUNK_BYTES } = options;
  const byLogits = Math.floor(logitsChunkBytes / (options.maxTokens * F32));
  const byBinding = Math.floor(options.maxTensorBytes / (Math.max(spec.hiddenSize, options.maxTokens) * F32));
  return Math.max(1, Math.min(spec.vocabSize, byLogits, byBinding));
}

export interface PlanGroup {
  readonly name: string;
  readonly bytes: number;
  readonly detail: string;
  /** What makes it smaller: a clause after "to save memory there". */
  readonly advice: string;
  /** No field of a job makes it smaller. */
  readonly isFixed: boolean;
}

export interface MemoryPlan {
  /** In the order in which they are printed. */
  readonly groups: readonly PlanGroup[];
  readonly totalBytes: number;
  /** The largest single buffer, and the advice of its group. */
  readonly largest: { readonly name: string; readonly bytes: number; readonly advice: string };
}

/** Adds up all buffers of a fine-tune (or, with `training` false, of evaluation). */
export function planMemory(spec: TransformerSpec, lora: LoraPlan, options: PlanOptions): MemoryPlan {
  const sum = (sizes: Sizes) =>
    Object.values(sizes).reduce((total, bytes) => total + allocationSize(bytes), 0);
  const linears = linearModules(spec);
  const nf4 = linears.reduce(
    (total, { outFeatures, inFeatures }) => total + sum(linearSizes(outFeatures, inFeatures, options)),
    DYNAMIC_MAP.byteLength,
  );
  const biases = linears.reduce(
    (total, { hasBias, outFeatures }) => total + (hasBias ? outFeatures * F32 : 0),
    0,
  );
  const tables = (spec.tieWordEmbeddings ? 1 : 2) * spec.vocabSize * spec.hiddenSize * F32;
  const norms = (2 * spec.layerCount + 1) * spec.hiddenSize * F32;
  const slabs = options.training && !options.gradientCheckpointing ? spec.layerCount : 1;
  const residuals = options.training ? spec.layerCount + 1 : 2;
  const activations = activationSizes(spec, lora, options.maxTokens);
  const workspace = workspaceSizes(spec, lora, options);
  const adapter = adapterSizes(lora, options.training);
  const advice = adviceOf(spec, lora, options);
  const groups: PlanGroup[] = [
    {
      ...advice.base,
      name: "base model, NF4",
      bytes: nf4,
      detail: `${linears.length} linear layers${options.doubleQuantization ? ", double quantisation" : ""}`,
    },
    {
      ...advice.base,
      name: "base model, f32",
      bytes: tables + norms + biases,
      detail: `embeddings ${spec.vocabSize}×${spec.hiddenSize}${
        spec.tieWordEmbeddings ? ", tied" : ", output layer"
      }, norms`,
    },
    {
      ...advice.adapter,
      name: "adapter and its gradient",
      bytes: sum(adapter),
      detail: `${lora.layout.parameterCount} LoRA parameters; moments stay in host memory`,
    },
    {
      ...advice.activations,
      name: "activations",
      bytes: slabs * sum(activations) + residuals * options.maxTokens * spec.hiddenSize * F32,
      detail: `${options.maxTokens} tokens, ${
        slabs === 1 ? "one layer's, computed again in the backward pass" : `${slabs} layers'`
      }`,
    },
    {
      ...advice.workspace,
      name: "workspace",
      bytes: sum(workspace),
      detail: `logits ${options.maxTokens}×${chunkColumns(spec, options)}`,
    },
  ];
  const linear = Math.max(
    ...linears.map(({ outFeatures, inFeatures }) => linearSizes(outFeatures, inFeatures, options).codes),
  );
  const buffers = [
    ...buffersOf(activations, advice.activations),
    ...buffersOf(workspace, advice.workspace),
    ...buffersOf(adapter, advice.adapter),
    ...buffersOf({ "largest linear layer": linear }, advice.base),
  ];
  return {
    groups,
    totalBytes: groups.reduce((total, group) => total + group.bytes, 0),
    largest: buffers.reduce((most, buffer) => buffer.bytes > most.bytes ? buffer : most),
  };
}

function buffersOf(sizes: Sizes, { advice }: { readonly advice: string }): MemoryPlan["largest"][] {
  return Object.entries(sizes).map(([name, bytes]) => ({ name, bytes, advice }));
}

/**
 * Whether memory is saved in earnest by computing activations again: where all layers' are small anyway, keeping them gives the
 * same bits in two thirds of the time.
 * @param budgetBytes null where neither the user nor the device says how much there is
 */
export function needsCheckpointing(
  spec: TransformerSpec,
  lora: LoraPlan,
  options: Omit<PlanOptions, "gradientCheckpointing">,
  budgetBytes: number | null,
): boolean {
  const { totalBytes } = planMemory(spec, lora, { ...options, gradientCheckpointing: false });
  return totalBytes > Math.min(EASY_BYTES, budgetBytes ?? Infinity);
}

/** The plan as a table for the log. */
export function formatPlan(plan: MemoryPlan): string {
  const lines = plan.groups.map(({ name, bytes, detail }) =>
    `  ${name.padEnd(26)}${formatBytes(bytes).padStart(11)}  ${detail}`
  );
  return ["memory plan:", ...lines, `  ${"total".padEnd(26)}${formatBytes(plan.totalBytes).padStart(11)}`]
    .join("\n");
}

/**
 * Refuses a plan that cannot be allocated, with the numbers.
 * @param budgetBytes null where neither the user nor the device says how much there is
 * @throws LoraFleetError `does_not_fit`
 */
export function assertFits(
  plan: MemoryPlan,
  budgetBytes: number | null,
  maxTensorBytes: number,
  device: string,
): void {
  const { largest } = plan;
  if (largest.bytes > maxTensorBytes) {
    throw new LoraFleetError(
      "does_not_fit",
      `Planning memory failed: buffer "${largest.name}" needs ${
        formatBytes(largest.bytes)
      }, and ${device} binds at most ` +
        `${formatBytes(maxTensorBytes)} at once. To make it smaller, ${largest.advice}.`,
    );
  }
  if (budgetBytes !== null && plan.totalBytes > budgetBytes) {
    throw new LoraFleetError(
      "does_not_fit",
      `Planning memory failed: the job needs ${formatBytes(plan.totalBytes)}, and ${device} has ${
        formatBytes(budgetBytes)
      } for it. ${adviceFor(plan, budgetBytes)}\n${formatPlan(plan)}`,
    );
  }
}

/** Bytes for a person: MiB below one GiB, else GiB. */
export function formatBytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(2)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
