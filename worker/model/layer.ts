/**
 * One decoder layer, forward and backward, as a list of kernels:
 *
 *     input → RMSNorm → q, k, v → RoPE → attention → o ⊕ input = middle → RMSNorm → gate, up → SwiGLU → down ⊕ middle = output
 */
import type { Pass } from "../device/pass.ts";
import { type GpuTensor, sliceTensor } from "../device/tensor.ts";
import { encodeAttention, encodeAttentionBackward } from "../kernels/attention/attention.ts";
import { encodeRmsNorm, encodeRmsNormBackward } from "../kernels/norm/rms_norm.ts";
import { encodeRope } from "../kernels/elementwise/rope.ts";
import { encodeSwiglu, encodeSwigluBackward } from "../kernels/elementwise/swiglu.ts";
import {
  type DropoutPass,
  encodeLinear,
  encodeLinearBackward,
  encodeLoraInner,
  type Linear,
} from "./lora_linear.ts";
import type { activationSizes, workspaceSizes } from "./memory_plan.ts";
import type { TransformerSpec } from "./transformer_spec.ts";
import type { LayerNorms } from "./weights.ts";

/** Tensors by the names of the memory plan. */
export type Tensors<S> = { readonly [K in keyof S]: GpuTensor };
export type Activations = Tensors<ReturnType<typeof activationSizes>>;
export type Workspace = Tensors<ReturnType<typeof workspaceSizes>>;

const PROJECTIONS = ["query", "key", "value", "output", "gate", "up", "down"] as const;
type Projection = typeof PROJECTIONS[number];

/** A decoder layer's weights. */
export interface DecoderLayer {
  readonly norms: LayerNorms;
  readonly linears: { readonly [K in Projection]: Linear };
  /** Whether anything below this layer learns, so that the gradient must pass through it. */
  readonly passesGradient: boolean;
}

/** What is the same for all layers of one pass over a micro-batch. */
export interface PassContext {
  readonly pass: Pass;
  readonly spec: TransformerSpec;
  readonly workspace: Workspace;
  /** Tokens of this micro-batch. */
  readonly rows: number;
  readonly dropout: DropoutPass | null;
  /** Bytes from one linear layer's A·x to the next one's. */
  readonly loraInnerStride: number;
}

/** Where attention finds its keys and values: the micro-batch's own, or a KV cache that it first adds to. */
export type Attend = (
  query: GpuTensor,
  key: GpuTensor,
  value: GpuTensor,
  out: GpuTensor,
  lse: GpuTensor,
) => void;

/**
 * Forward of a layer. With `output` null all is computed that the backward needs, and the layer's result is not.
 * @param input residual stream [T, hidden]; kept as it is
 */
export function encodeLayer(
  context: PassContext,
  layer: DecoderLayer,
  kept: Activations,
  input: GpuTensor,
  output: GpuTensor | null,
  attend: Attend,
): void {
  const { pass, spec, rows } = context;
  const { linears, norms } = layer;
  const { hiddenSize: columns, rmsNormEpsilon: epsilon } = spec;
  const residualBytes = rows * columns * 4;
  const project = (name: Projection, x: GpuTensor, y: GpuTensor, accumulate = false) =>
    encodeLinear(pass, linears[name], { ...lineCall(context, kept, name, x), y, accumulate });

  encodeRmsNorm(pass, {
    x: input,
    weight: norms.attention,
    y: kept.attentionInput,
    rstd: kept.attentionRstd,
    rows,
    columns,
    epsilon,
  });
  project("query", kept.attentionInput, kept.query);
  project("key", kept.attentionInput, kept.key);
  project("value", kept.attentionInput, kept.value);
  rotate(context, kept.query, spec.headCount, false);
  rotate(context, kept.key, spec.kvHeadCount, false);
  attend(kept.query, kept.key, kept.value, kept.attentionOutput, kept.attentionLse);
  pass.copy(input, kept.middle, residualBytes);
  project("output", kept.attentionOutput, kept.middle, true);

  encodeRmsNorm(pass, {
    x: kept.middle,
    weight: norms.mlp,
    y: kept.mlpInput,
    rstd: kept.mlpRstd,
    rows,
    columns,
    epsilon,
  });
  project("gate", kept.mlpInput, kept.gate);
  project("up", kept.mlpInput, kept.up);
  encodeSwiglu(pass, { gate: kept.gate, up: kept.up, y: kept.mlpInner, count: rows * spec.intermediateSize });
  if (output === null) {
    encodeLoraInner(pass, linears.down, lineCall(context, kept, "down", kept.mlpInner));
  } else {
    pass.copy(kept.middle, output, residualBytes);
    project("down", kept.mlpInner, output, true);
  }
}

/**
 * Backward of a layer: workspace.dHidden [T, hidden], the gradient of the layer's output, becomes the gradient of its input.
 * Writes the gradients of the layer's LoRA tensors; `kept` is used up.
 */
export function encodeLayerBackward(
  context: PassContext,
  layer: DecoderLayer,
  kept: Activations,
  input: GpuTensor,
): void {
  const { pass, spec, workspace, rows } = context;
  const { linears, norms } = layer;
  const { hiddenSize: columns, headCount, kvHeadCount, headDim } = spec;
  const { dHidden, dNormed, dQuery, dKey, dValue, dAttentionOutput, dMlpInner, dLoraInner: dInner } =
    workspace;
  const back = (name: Projection, x: GpuTensor, dy: GpuTensor, dx: GpuTensor | null, accumulate = false) =>
    encodeLinearBackward(pass, linears[name], {
      ...lineCall(context, kept, name, x),
      dy,
      dInner,
      dx,
      accumulate,
    });

  back("down", kept.mlpInner, dHidden, dMlpInner);
  encodeSwigluBackward(pass, {
    gate: kept.gate,
    up: kept.up,
    dy: dMlpInner,
    count: rows * spec.intermediateSize,
  });
  back("gate", kept.mlpInput, kept.gate, dNormed);
  back("up", kept.mlpInput, kept.up, dNormed, true);
  encodeRmsNormBackward(pass, {
    x: kept.middle,
    weight: norms.mlp,
    rstd: kept.mlpRstd,
    dy: dNormed,
    dx: dHidden,
    rows,
    columns,
  });

  back("output", kept.attentionOutput, dHidden, dAttentionOutput);
  encodeAttentionBackward(pass, {
    q: kept.query,
    k: kept.key,
    v: kept.value,
    out: kept.attentionOutput,
    dOut: dAttentionOutput,
    lse: kept.attentionLse,
    delta: workspace.attentionDelta,
    dq: dQuery,
    dk: dKey,
    dv: dValue,
    keyStarts: workspace.keyStarts,
    queryEnds: workspace.queryEnds,
    tokenCount: rows,
    headCount,
    kvHeadCount,
    headDim,
    scale: 1 / Math.sqrt(headDim),
  });
  rotate(context, dQuery, headCount, true);
  rotate(context, dKey, kvHeadCount, true);
  const dInput = layer.passesGradient ? dNormed : null;
  back("query", kept.attentionInput, dQuery, dInput);
  back("key", kept.attentionInput, dKey, dInput, true);
  back("value", kept.attentionInput, dValue, dInput, true);
  if (dInput === null) return;
  encodeRmsNormBackward(pass, {
    x: input,
    weight: norms.attention,
    rstd: kept.attentionRstd,
    dy: dInput,
    dx: dHidden,
    rows,
    columns,
  });
}

/** Attention over the micro-batch itself: causal, and within documents alone. */
export function attendWithin(context: PassContext): Attend {
  const { pass, spec, workspace, rows } = context;
  const { headCount, kvHeadCount, headDim } = spec;
  const { keyStarts, keyEnds } = workspace;
  return (q, k, v, out, lse) =>
    encodeAttention(pass, {
      q,
      k,
      v,
      out,
      lse,
      keyStarts,
      keyEnds,
      queryCount: rows,
      headCount,
      kvHeadCount,
      headDim,
      scale: 1 / Math.sqrt(headDim),
    });
}

function lineCall(context: PassContext, kept: Activations, name: Projection, x: GpuTensor) {
  const { rows, dropout, loraInnerStride: stride } = context;
  const inner = sliceTensor(
    kept.loraInner,
    `lora inner of ${name}`,
    PROJECTIONS.indexOf(name) * stride,
    stride,
  );
  return { x, rows, inner, dropout };
}

function rotate(context: PassContext, x: GpuTensor, headCount: number, inverse: boolean): void {
  const { pass, spec, workspace, rows } = context;
  const { ropeCos: cos, ropeSin: sin, positions } = workspace;
  encodeRope(pass, { x, cos, sin, positions, rows, headCount, headDim: spec.headDim, inverse });
}
