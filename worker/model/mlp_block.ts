/**
 * The second half of a decoder layer:
 *
 *     middle → RMSNorm → gate, up → SwiGLU → down ⊕ middle = output
 */
import type { GpuTensor } from "../device/tensor.ts";
import { encodeSwiglu, encodeSwigluBackward } from "../kernels/elementwise/swiglu.ts";
import { encodeRmsNorm, encodeRmsNormBackward } from "../kernels/norm/rms_norm.ts";
import { type LayerPass, project, projectBackward, projectInner } from "./pass_context.ts";

/** `output` [T, hidden] from kept.middle; if null, only what the backward needs. */
export function encodeMlpBlock(at: LayerPass, output: GpuTensor | null): void {
  const { context: { pass, spec, rows }, layer, kept } = at;
  const { hiddenSize: columns, rmsNormEpsilon: epsilon } = spec;
  const { middle: x, mlpInput: y, mlpRstd: rstd } = kept;
  encodeRmsNorm(pass, { x, weight: layer.norms.mlpNorm, y, rstd, rows, columns, epsilon });
  project(at, "gate", kept.mlpInput, kept.gate);
  project(at, "up", kept.mlpInput, kept.up);
  encodeSwiglu(pass, { gate: kept.gate, up: kept.up, y: kept.mlpInner, count: rows * spec.intermediateSize });
  if (output === null) {
    projectInner(at, "down", kept.mlpInner);
  } else {
    pass.copy(kept.middle, output, rows * columns * 4);
    project(at, "down", kept.mlpInner, output, true);
  }
}

/** workspace.dHidden, the gradient of `output`, becomes the gradient of `middle`. */
export function encodeMlpBlockBackward(at: LayerPass): void {
  const { context: { pass, spec, workspace, rows }, layer, kept } = at;
  const { dHidden, dNormed, dMlpInner } = workspace;
  projectBackward(at, "down", kept.mlpInner, dHidden, dMlpInner);
  const count = rows * spec.intermediateSize;
  encodeSwigluBackward(pass, { gate: kept.gate, up: kept.up, dy: dMlpInner, count });
  projectBackward(at, "gate", kept.mlpInput, kept.gate, dNormed);
  projectBackward(at, "up", kept.mlpInput, kept.up, dNormed, true);
  const { middle: x, mlpRstd: rstd } = kept;
  const { norms: { mlpNorm: weight } } = layer;
  encodeRmsNormBackward(pass, { x, weight, rstd, dy: dNormed, dx: dHidden, rows, columns: spec.hiddenSize });
}
