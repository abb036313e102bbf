/**
 * The residual stream: it begins as the tokens' embeddings, and the last linear layer of attention and of the MLP is added to it:
 *
 *     y = x ⊕ linear(inner)          or, with post-norms,          y = x ⊕ RMSNorm(linear(inner))
 */
import type { GpuTensor } from "../device/tensor.ts";
import { encodeEmbeddingNoise } from "../kernels/elementwise/embedding_noise.ts";
import { encodeGatherRows } from "../kernels/elementwise/rows.ts";
import { encodeRmsNorm, encodeRmsNormBackward } from "../kernels/norm/rms_norm.ts";
import { type LayerPass, type PassContext, project, projectBackward, projectInner } from "./pass_context.ts";
import type { BaseWeights } from "./weights.ts";

type StreamRole = "output" | "down";

/** The tokens' embeddings, with NEFTune's noise in training: `embedded` [T, hidden]. */
export function encodeEmbeddings(
  { pass, spec, workspace, rows, training }: PassContext,
  { embeddings: slabs }: Pick<BaseWeights, "embeddings">,
  embedded: GpuTensor,
): void {
  const { hiddenSize: columns, embeddingScale: scale } = spec;
  encodeGatherRows(pass, { slabs, indices: workspace.tokens, y: embedded, rows, columns, scale });
  const { keyStarts: documentStarts, queryEnds: documentEnds } = workspace;
  const noise = training?.embeddingNoise ?? null;
  if (noise !== null) {
    encodeEmbeddingNoise(pass, { x: embedded, documentStarts, documentEnds, rows, columns, ...noise });
  }
}

/**
 * `y` [T, hidden] from `inner`, the input of linear layer `role`, and the residual stream `x`, which stays unchanged.
 * @param y null: only what the backward needs
 */
export function projectToStream(
  at: LayerPass,
  role: StreamRole,
  inner: GpuTensor,
  x: GpuTensor,
  y: GpuTensor | null,
): void {
  const { context: { pass, spec, workspace, rows } } = at;
  const { hiddenSize: columns, rmsNormEpsilon: epsilon } = spec;
  const norm = postNormOf(at, role);
  if (norm === null && y === null) return projectInner(at, role, inner);
  if (y !== null) pass.copy(x, y, rows * columns * 4);
  if (norm === null) return project(at, role, inner, y!, true);
  const { raw, weight, rstd } = norm;
  project(at, role, inner, raw);
  // Without `y`, the backward needs rstd alone; the gradient's buffer is free before it.
  const sum = y ?? workspace.dNormed;
  encodeRmsNorm(pass, { x: raw, weight, y: sum, rstd, rows, columns, epsilon, accumulate: y !== null });
}

/** The backward: from workspace.dHidden, the gradient of `y`, the gradient of `inner`. Overwrites workspace.dNormed. */
export function projectToStreamBackward(
  at: LayerPass,
  role: StreamRole,
  inner: GpuTensor,
  dInner: GpuTensor,
): void {
  const { context: { pass, spec, workspace: { dHidden, dNormed }, rows } } = at;
  const norm = postNormOf(at, role);
  if (norm === null) return projectBackward(at, role, inner, dHidden, dInner);
  const { raw: x, weight, rstd } = norm;
  const { hiddenSize: columns } = spec;
  pass.clear(dNormed, rows * columns * 4);
  encodeRmsNormBackward(pass, { x, weight, rstd, dy: dHidden, dx: dNormed, rows, columns });
  projectBackward(at, role, inner, dNormed, dInner);
}

/** The norm behind linear layer `role`, the norm's input and its rstd; null without it. */
function postNormOf({ context: { spec }, layer: { norms }, kept }: LayerPass, role: StreamRole) {
  if (!spec.postNorms) return null;
  return role === "output"
    ? { weight: norms.attentionPostNorm!, raw: kept.attentionResult!, rstd: kept.attentionPostRstd! }
    : { weight: norms.mlpPostNorm!, raw: kept.mlpResult!, rstd: kept.mlpPostRstd! };
}
