/** Rotary position embedding and its backward, which is the rotation by the negative angle. */
import { defineKernel } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { GpuTensor } from "../../device/tensor.ts";
import { LINEAR_MAIN, linearGroups } from "./linear_index.ts";
import source from "./rope.wgsl" with { type: "text" };

const rope = defineKernel({
  label: "rope",
  source: source + LINEAR_MAIN,
  params: { count: "u32", half: "u32", headCount: "u32", sign: "f32" },
  bindings: { x: "read_write f32", cos_table: "read f32", sin_table: "read f32", positions: "read u32" },
});

/**
 * Rotates x [rows, headCount · headDim] in place: with h = headDim/2 and the angle of (position, i),
 * out[i] = x[i]·cos − x[i+h]·sin and out[i+h] = x[i+h]·cos + x[i]·sin.
 * @throws RangeError if `headDim` is odd
 */
export function encodeRope(pass: Pass, call: {
  x: GpuTensor;
  /** [maxPositions, headDim / 2], as `sin`. */
  cos: GpuTensor;
  sin: GpuTensor;
  /** Row of the tables for each row of x [rows], u32. */
  positions: GpuTensor;
  rows: number;
  headCount: number;
  headDim: number;
  /** Rotates backwards: the gradient of the rotation. */
  inverse: boolean;
}): void {
  const { x, cos, sin, positions, rows, headCount, headDim, inverse } = call;
  if (headDim % 2 !== 0) throw new RangeError(`rotating heads of ${headDim} values: they must pair up`);
  const half = headDim / 2;
  const count = rows * headCount * half;
  pass.dispatch(rope, {
    params: { count, half, headCount, sign: inverse ? -1 : 1 },
    tensors: { x, cos_table: cos, sin_table: sin, positions },
    groups: linearGroups(count),
  });
}
