/** Rotary position embedding and its backward, which is the rotation by the negative angle. */
import { defineKernel } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { Tensors } from "../../device/tensor.ts";
import { LINEAR_MAIN, linearGroups } from "./linear_index.ts";
import source from "./rope.wgsl" with { type: "text" };

const rope = defineKernel({
  label: "rope",
  source: source + LINEAR_MAIN,
  params: { count: "u32", half: "u32", headDim: "u32", headCount: "u32", sign: "f32" },
  bindings: { x: "read_write f32", cos_table: "read f32", sin_table: "read f32", positions: "read u32" },
});

/**
 * Rotates x [rows, headCount · headDim] in place: with h = dimensions/2 and the angle of (position, i),
 * out[i] = x[i]·cos − x[i+h]·sin and out[i+h] = x[i+h]·cos + x[i]·sin. Values from `dimensions` on stay.
 * @param call.cos [maxPositions, dimensions / 2], as `sin`
 * @param call.positions row of the tables for each row of x [rows], u32
 * @param call.inverse rotates backwards: the gradient of the rotation
 * @param call.dimensions values of a head that are rotated; by default all
 * @throws RangeError if they are odd
 */
export function encodeRope(
  pass: Pass,
  call: Tensors<"x" | "cos" | "sin" | "positions"> & {
    rows: number;
    headCount: number;
    headDim: number;
    dimensions?: number;
    inverse: boolean;
  },
): void {
  const { x, cos: cos_table, sin: sin_table, positions, rows, headCount, headDim, inverse } = call;
  const { dimensions = headDim } = call;
  if (dimensions % 2 !== 0) throw new RangeError(`rotating heads of ${dimensions} values: they must pair up`);
  const half = dimensions / 2;
  const count = rows * headCount * half;
  const params = { count, half, headDim, headCount, sign: inverse ? -1 : 1 };
  pass.dispatch(rope, { ...params, x, cos_table, sin_table, positions }, linearGroups(count));
}
