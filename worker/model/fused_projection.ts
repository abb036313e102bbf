/**
 * Linear layers that a family keeps in one matrix: their results lie side by side in each row. They are copied apart, since
 * what follows takes each by itself, and their gradients are copied together.
 */
import type { LinearRole } from "../../shared/model/model_tensors.ts";
import type { GpuTensor } from "../device/tensor.ts";
import { encodeCopyColumns } from "../kernels/elementwise/rows.ts";
import { type LayerPass, project, projectBackward } from "./pass_context.ts";

/** One of the results [T, columns], or its gradient. */
export interface FusedPart {
  readonly tensor: GpuTensor;
  readonly columns: number;
}

/** Each part = its columns of the result of linear layer `role` for x. */
export function projectApart(
  at: LayerPass,
  role: LinearRole,
  x: GpuTensor,
  parts: readonly FusedPart[],
): void {
  const { pass, workspace, rows } = at.context;
  const fused = workspace.fused!;
  project(at, role, x, fused);
  for (const { tensor: y, columns, first, width } of placed(parts)) {
    const from = { width, first };
    encodeCopyColumns(pass, { x: fused, y, rows, columns, from, to: { width: columns, first: 0 } });
  }
}

/**
 * The backward of `projectApart`: LoRA's gradients, and dx unless null.
 * @param parts the gradients of the parts
 */
export function projectApartBackward(
  at: LayerPass,
  role: LinearRole,
  x: GpuTensor,
  parts: readonly FusedPart[],
  dx: GpuTensor | null,
): void {
  const { pass, workspace, rows } = at.context;
  const fused = workspace.fused!;
  for (const { tensor, columns, first, width } of placed(parts)) {
    const from = { width: columns, first: 0 };
    encodeCopyColumns(pass, { x: tensor, y: fused, rows, columns, from, to: { width, first } });
  }
  projectBackward(at, role, x, fused, dx);
}

/** The parts with their first column in a row, and the row's width. */
function placed(parts: readonly FusedPart[]) {
  const width = parts.reduce((sum, { columns }) => sum + columns, 0);
  let end = 0;
  return parts.map((part) => {
    const first = end;
    end += part.columns;
    return { ...part, first, width };
  });
}
