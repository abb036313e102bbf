/**
 * Moves rows, or columns of rows, as they are. Gathering looks up embeddings and picks the rows whose label counts; scattering writes their
 * gradients back and fills the KV cache. Copying columns separates results that lie side by side.
 */
import { defineKernel } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { GpuTensor, Tensors } from "../../device/tensor.ts";
import { type FloatFormat, HALF_WGSL, halfConstants } from "./half_floats.ts";
import { LINEAR_MAIN, linearGroups } from "./linear_index.ts";

const gatherOf = (format: FloatFormat, scaled: boolean) =>
  defineKernel({
    label: scaled ? "gather_rows_scaled" : "gather_rows",
    // Indices outside [firstRow, firstRow + rowCount) belong to a different slab of the same table.
    source: `
fn element(index: u32) {
  let row = indices[index / params.columns] - params.firstRow;
  if (row >= params.rowCount) { return; }
  let at = row * params.columns + index % params.columns;
//! if HALF
  let value = f32_of_half((x[at >> 1u] >> ((at & 1u) * 16u)) & 0xffffu);
//! end
//! if !HALF
  let value = x[at];
//! end
//! if SCALED
  y[index] = value * params.scale;
//! end
//! if !SCALED
  y[index] = value;
//! end
}` + HALF_WGSL + LINEAR_MAIN,
    constants: { ...halfConstants(format), SCALED: scaled },
    params: {
      ...{ count: "u32", columns: "u32", firstRow: "u32", rowCount: "u32" } as const,
      ...(scaled && { scale: "f32" } as const),
    },
    bindings: { x: format === "f32" ? "read f32" : "read u32", indices: "read u32", y: "read_write f32" },
  });

const gathers = new Map<string, ReturnType<typeof gatherOf>>();

const scatter = defineKernel({
  label: "scatter_rows",
  source: `
fn element(index: u32) {
  y[indices[index / params.columns] * params.columns + index % params.columns] = x[index];
}` + LINEAR_MAIN,
  params: { count: "u32", columns: "u32" },
  bindings: { x: "read f32", indices: "read u32", y: "read_write f32" },
});

const copyColumns = defineKernel({
  label: "copy_columns",
  source: `
fn element(index: u32) {
  let row = index / params.columns;
  let column = index % params.columns;
  y[row * params.yWidth + params.yFirst + column] = x[row * params.xWidth + params.xFirst + column];
}` + LINEAR_MAIN,
  params: { count: "u32", columns: "u32", xWidth: "u32", xFirst: "u32", yWidth: "u32", yFirst: "u32" },
  bindings: { x: "read f32", y: "read_write f32" },
});

/** A part of a table that is too large for one binding: whole rows. */
export interface TableSlab {
  readonly tensor: GpuTensor;
  readonly firstRow: number;
  readonly rowCount: number;
  /** How its numbers lie in `tensor`; left out: "f32". */
  readonly format?: FloatFormat;
}

/**
 * y [rows, columns]: row i becomes row indices[i] of the table, times `scale`. An index outside the table leaves its row as it
 * was.
 */
export function encodeGatherRows(
  pass: Pass,
  call: Tensors<"indices" | "y"> & {
    slabs: readonly TableSlab[];
    rows: number;
    columns: number;
    scale?: number;
  },
): void {
  const { slabs, indices, y, rows, columns, scale = 1 } = call;
  const count = rows * columns;
  for (const { tensor: x, firstRow, rowCount, format = "f32" } of slabs) {
    const part = { x, indices, y, count, columns, firstRow, rowCount, scale };
    const kernel = gathers.getOrInsertComputed(
      `${format} ${scale !== 1}`,
      () => gatherOf(format, scale !== 1),
    );
    pass.dispatch(kernel, part, linearGroups(count));
  }
}

/** Row indices[i] of y becomes row i of x [rows, columns]; other rows stay. Indices are distinct and inside y. */
export function encodeScatterRows(
  pass: Pass,
  call: Tensors<"x" | "indices" | "y"> & { rows: number; columns: number },
): void {
  const count = call.rows * call.columns;
  pass.dispatch(scatter, { ...call, count }, linearGroups(count));
}

/** Columns of a matrix: `width` columns a row, of which those from `first` on are meant. */
interface Columns {
  readonly width: number;
  readonly first: number;
}

/** In each of the first `rows` rows, `columns` columns of y become those of x; the others stay. */
export function encodeCopyColumns(
  pass: Pass,
  call: Tensors<"x" | "y"> & { rows: number; columns: number; from: Columns; to: Columns },
): void {
  const { x, y, rows, columns, from, to } = call;
  const count = rows * columns;
  const places = { xWidth: from.width, xFirst: from.first, yWidth: to.width, yFirst: to.first };
  pass.dispatch(copyColumns, { x, y, count, columns, ...places }, linearGroups(count));
}
