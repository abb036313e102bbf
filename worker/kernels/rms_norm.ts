/** RMSNorm, forward and backward; the sources say how. */
import { defineKernel } from "../device/kernel.ts";
import type { Pass } from "../device/pass.ts";
import type { GpuTensor } from "../device/tensor.ts";
import forwardSource from "./rms_norm.wgsl" with { type: "text" };
import backwardSource from "./rms_norm_backward.wgsl" with { type: "text" };

const forward = defineKernel({
  label: "rms_norm",
  source: forwardSource,
  params: { columns: "u32", epsilon: "f32" },
  bindings: { x: "read f32", weight: "read f32", y: "read_write f32", rstd: "read_write f32" },
});

const backward = defineKernel({
  label: "rms_norm_backward",
  source: backwardSource,
  params: { columns: "u32" },
  bindings: {
    x: "read f32",
    weight: "read f32",
    rstd: "read f32",
    dy: "read f32",
    dx: "read_write f32",
  },
});

/** y [rows, columns] = RMSNorm(x [rows, columns]) · weight [columns]; keeps rstd [rows] for the backward pass. */
export function encodeRmsNorm(pass: Pass, call: {
  x: GpuTensor;
  weight: GpuTensor;
  y: GpuTensor;
  rstd: GpuTensor;
  rows: number;
  columns: number;
  epsilon: number;
}): void {
  const { x, weight, y, rstd, rows, columns, epsilon } = call;
  pass.dispatch(forward, { params: { columns, epsilon }, tensors: { x, weight, y, rstd }, groups: [rows] });
}

/** dx [rows, columns] += the gradient of RMSNorm's input, from dy [rows, columns] and the forward's x and rstd. */
export function encodeRmsNormBackward(pass: Pass, call: {
  x: GpuTensor;
  weight: GpuTensor;
  rstd: GpuTensor;
  dy: GpuTensor;
  dx: GpuTensor;
  rows: number;
  columns: number;
}): void {
  const { x, weight, rstd, dy, dx, rows, columns } = call;
  pass.dispatch(backward, { params: { columns }, tensors: { x, weight, rstd, dy, dx }, groups: [rows] });
}
