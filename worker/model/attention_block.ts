/**
 * The first half of a decoder layer:
 *
 *     input → RMSNorm → q, k, v → RoPE → attention → o ⊕ input = middle
 *
 * Some families norm each head of q and k before RoPE, some norm the result of o.
 */
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { GpuTensor } from "../device/tensor.ts";
import { encodeAttention, encodeAttentionBackward } from "../kernels/attention/attention.ts";
import { encodeRope } from "../kernels/elementwise/rope.ts";
import { encodeRmsNorm, encodeRmsNormBackward } from "../kernels/norm/rms_norm.ts";
import { type FusedPart, projectApart, projectApartBackward } from "./fused_projection.ts";
import { type LayerPass, type PassContext, project, projectBackward } from "./pass_context.ts";
import { projectToStream, projectToStreamBackward } from "./residual_stream.ts";

/** Attends to the keys and values of the micro-batch itself, or of a KV cache that they are appended to first. */
export type Attend = (
  query: GpuTensor,
  key: GpuTensor,
  value: GpuTensor,
  out: GpuTensor,
  lse: GpuTensor,
) => void;

/** kept.middle [T, hidden], from the residual stream `input` [T, hidden], which stays unchanged. */
export function encodeAttentionBlock(at: LayerPass, input: GpuTensor, attend: Attend): void {
  const { context: { spec }, kept } = at;
  encodeAttentionNorm(at, input);
  if (spec.fusedProjections) {
    projectApart(at, "queryKeyValue", kept.attentionInput, headParts(spec, kept.query, kept.key, kept.value));
  } else {
    projectHeads(at, "query");
    projectHeads(at, "key");
    project(at, "value", kept.attentionInput, kept.value);
  }
  rotate(at, kept.query, spec.headCount, false);
  rotate(at, kept.key, spec.kvHeadCount, false);
  attend(kept.query, kept.key, kept.value, kept.attentionOutput, kept.attentionLse);
  projectToStream(at, "output", kept.attentionOutput, input, kept.middle);
}

/** kept.attentionInput: RMSNorm of the residual stream `input` [T, hidden]. */
export function encodeAttentionNorm({ context, layer, kept }: LayerPass, input: GpuTensor): void {
  const { pass, spec: { hiddenSize: columns, rmsNormEpsilon: epsilon }, rows } = context;
  const { attentionInput: y, attentionRstd: rstd } = kept;
  encodeRmsNorm(pass, { x: input, weight: layer.norms.attentionNorm, y, rstd, rows, columns, epsilon });
}

/** workspace.dHidden, the gradient of `middle`, becomes the gradient of `input`. */
export function encodeAttentionBlockBackward(at: LayerPass, input: GpuTensor): void {
  const { context, layer, kept } = at;
  const { pass, spec, workspace, rows } = context;
  const { dHidden, dQuery, dKey, dValue, dAttentionOutput, attentionDelta } = workspace;
  projectToStreamBackward(at, "output", kept.attentionOutput, dAttentionOutput);
  const { query: q, key: k, value: v, attentionOutput: out, attentionLse: lse } = kept;
  const gradients = { dOut: dAttentionOutput, delta: attentionDelta, dq: dQuery, dk: dKey, dv: dValue };
  const documents = { ...rangesOf(at), ...pairsOf(at), tokenCount: rows };
  encodeAttentionBackward(pass, { q, k, v, out, lse, ...gradients, ...documents, ...headsOf(context) });
  rotate(at, dQuery, spec.headCount, true);
  rotate(at, dKey, spec.kvHeadCount, true);
  const dInput = layer.passesGradient ? workspace.dNormed : null;
  if (spec.fusedProjections) {
    const gradients = headParts(spec, dQuery, dKey, dValue);
    projectApartBackward(at, "queryKeyValue", kept.attentionInput, gradients, dInput);
  } else {
    projectHeadsBackward(at, "query", dQuery, dInput);
    projectHeadsBackward(at, "key", dKey, dInput, true);
    projectBackward(at, "value", kept.attentionInput, dValue, dInput, true);
  }
  if (dInput === null) return;
  const { norms: { attentionNorm: weight } } = layer;
  const sizes = { rows, columns: spec.hiddenSize };
  encodeRmsNormBackward(pass, {
    x: input,
    weight,
    rstd: kept.attentionRstd,
    dy: dInput,
    dx: dHidden,
    ...sizes,
  });
}

/** Queries, keys and values, or their gradients, in the order in which one matrix makes them. */
function headParts(
  { headCount, kvHeadCount, headDim }: TransformerSpec,
  query: GpuTensor,
  key: GpuTensor,
  value: GpuTensor,
): FusedPart[] {
  const columns = kvHeadCount * headDim;
  return [{ tensor: query, columns: headCount * headDim }, { tensor: key, columns }, {
    tensor: value,
    columns,
  }];
}

/** kept.query or kept.key, before RoPE. */
function projectHeads(at: LayerPass, role: "query" | "key"): void {
  const { context: { pass, spec }, kept } = at;
  const norm = headNormOf(at, role);
  project(at, role, kept.attentionInput, norm?.raw ?? kept[role]);
  if (norm === null) return;
  const { headDim: columns, rmsNormEpsilon: epsilon } = spec;
  encodeRmsNorm(pass, { ...norm, x: norm.raw, y: kept[role], columns, epsilon });
}

/** The backward of `projectHeads`; `kept[role]` is free to hold the gradient before the norm. */
function projectHeadsBackward(
  at: LayerPass,
  role: "query" | "key",
  dy: GpuTensor,
  dInput: GpuTensor | null,
  accumulate = false,
): void {
  const { context: { pass, spec }, kept } = at;
  const norm = headNormOf(at, role);
  if (norm !== null) {
    const { raw: x, weight, rstd, rows } = norm;
    pass.clear(kept[role], rows * spec.headDim * 4);
    encodeRmsNormBackward(pass, { x, weight, rstd, dy, dx: kept[role], rows, columns: spec.headDim });
  }
  projectBackward(at, role, kept.attentionInput, norm === null ? dy : kept[role], dInput, accumulate);
}

/** The norm of the heads [tokens · heads, headDim], the norm's input and its rstd; null without it. */
function headNormOf({ context: { spec, rows }, layer: { norms }, kept }: LayerPass, role: "query" | "key") {
  if (!spec.queryKeyNorm) return null;
  return role === "query"
    ? { weight: norms.queryNorm!, raw: kept.queryRaw!, rstd: kept.queryRstd!, rows: rows * spec.headCount }
    : { weight: norms.keyNorm!, raw: kept.keyRaw!, rstd: kept.keyRstd!, rows: rows * spec.kvHeadCount };
}

/** Causal attention over the micro-batch itself, confined to documents and to the layer's window. */
export function attendWithin(at: LayerPass): Attend {
  const { context } = at;
  const { pass, workspace: { keyEnds }, rows: queryCount } = context;
  const { keyStarts } = rangesOf(at);
  const sizes = { queryCount, ...pairsOf(at), ...headsOf(context) };
  return (q, k, v, out, lse) => encodeAttention(pass, { q, k, v, out, lse, keyStarts, keyEnds, ...sizes });
}

/** The work of the layer's attention, if it is known. */
export function pairsOf(
  { context: { pairs }, layer: { attention } }: LayerPass,
): { readonly pairs?: number } {
  return pairs === null ? {} : { pairs: attention.isWindowed ? pairs.windowed : pairs.whole };
}

/** The first key that each query of the layer sees, and the end of the queries that see each key. */
export function rangesOf({ context: { workspace }, layer: { attention } }: LayerPass) {
  const { keyStarts, queryEnds, windowKeyStarts, windowQueryEnds } = workspace;
  const isWindowed = attention.isWindowed && windowKeyStarts !== undefined && windowQueryEnds !== undefined;
  return isWindowed ? { keyStarts: windowKeyStarts, queryEnds: windowQueryEnds } : { keyStarts, queryEnds };
}

/** The parameters of attention that the model fixes. */
export function headsOf({ spec }: PassContext) {
  const { headCount, kvHeadCount, headDim, attentionScale, attentionSoftCap: softCap } = spec;
  return { headCount, kvHeadCount, headDim, scale: attentionScale ?? 1 / Math.sqrt(headDim), softCap };
}

/** Turns queries or keys by their positions, in layers that know positions. */
function rotate({ context, layer }: LayerPass, x: GpuTensor, headCount: number, inverse: boolean): void {
  const { rope } = layer.attention;
  if (rope === null) return;
  const { pass, spec: { headDim, ropes }, workspace: { ropeRows: positions }, ropeTables, rows } = context;
  const { dimensions } = ropes[rope]!;
  encodeRope(pass, { x, ...ropeTables[rope]!, positions, rows, headCount, headDim, dimensions, inverse });
}
