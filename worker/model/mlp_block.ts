/**
 * The second half of a decoder layer:
 *
 *     middle → RMSNorm → gate, up → gated unit → down ⊕ middle = output
 */
import type { GpuTensor } from "../device/tensor.ts";
import { encodeGlu, encodeGluBackward } from "../kernels/elementwise/glu.ts";
import { encodeRmsNorm, encodeRmsNormBackward } from "../kernels/norm/rms_norm.ts";
import { type FusedPart, projectApart, projectApartBackward } from "./fused_projection.ts";
import { type LayerPass, project, projectBackward } from "./pass_context.ts";
import { projectToStream, projectToStreamBackward } from "./residual_stream.ts";

/** `output` [T, hidden] from kept.middle; if null, only what the backward needs. */
export function encodeMlpBlock(at: LayerPass, output: GpuTensor | null): void {
  const { context: { spec }, kept } = at;
  encodeMlpNorm(at);
  if (spec.fusedProjections) {
    projectApart(at, "gateUp", kept.mlpInput, gateUpParts(at));
  } else {
    project(at, "gate", kept.mlpInput, kept.gate);
    project(at, "up", kept.mlpInput, kept.up);
  }
  encodeGatedUnit(at);
  projectToStream(at, "down", kept.mlpInner, kept.middle, output);
}

/** kept.mlpInput: RMSNorm of kept.middle. */
export function encodeMlpNorm({ context, layer, kept }: LayerPass): void {
  const { pass, spec: { hiddenSize: columns, rmsNormEpsilon: epsilon }, rows } = context;
  const { middle: x, mlpInput: y, mlpRstd: rstd } = kept;
  encodeRmsNorm(pass, { x, weight: layer.norms.mlpNorm, y, rstd, rows, columns, epsilon });
}

/** kept.mlpInner, from kept.gate and kept.up. */
export function encodeGatedUnit({ context: { pass, spec, rows }, kept }: LayerPass): void {
  const unit = { gate: kept.gate, up: kept.up, count: rows * spec.intermediateSize };
  encodeGlu(pass, { ...unit, y: kept.mlpInner, activation: spec.activation });
}

/** workspace.dHidden, the gradient of `output`, becomes the gradient of `middle`. */
export function encodeMlpBlockBackward(at: LayerPass): void {
  const { context: { pass, spec, workspace, rows }, layer, kept } = at;
  const { dHidden, dNormed, dMlpInner } = workspace;
  projectToStreamBackward(at, "down", kept.mlpInner, dMlpInner);
  const unit = { gate: kept.gate, up: kept.up, count: rows * spec.intermediateSize };
  encodeGluBackward(pass, { ...unit, dy: dMlpInner, activation: spec.activation });
  if (spec.fusedProjections) {
    projectApartBackward(at, "gateUp", kept.mlpInput, gateUpParts(at), dNormed);
  } else {
    projectBackward(at, "gate", kept.mlpInput, kept.gate, dNormed);
    projectBackward(at, "up", kept.mlpInput, kept.up, dNormed, true);
  }
  const { middle: x, mlpRstd: rstd } = kept;
  const { norms: { mlpNorm: weight } } = layer;
  encodeRmsNormBackward(pass, { x, weight, rstd, dy: dNormed, dx: dHidden, rows, columns: spec.hiddenSize });
}

/** Gate and up, or the gradients in their place, in the order in which one matrix makes them. */
function gateUpParts({ context: { spec: { intermediateSize: columns } }, kept }: LayerPass): FusedPart[] {
  return [{ tensor: kept.gate, columns }, { tensor: kept.up, columns }];
}
