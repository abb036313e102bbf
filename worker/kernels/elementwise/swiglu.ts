/** SwiGLU: silu(gate) · up, element by element, with silu(g) = g · σ(g). */
import { defineKernel } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { GpuTensor } from "../../device/tensor.ts";
import { LINEAR_MAIN, linearGroups } from "./linear_index.ts";

const forward = defineKernel({
  label: "swiglu",
  source: `
fn element(index: u32) {
  let g = gate[index];
  y[index] = g / (1.0 + exp(-g)) * up[index];
}` + LINEAR_MAIN,
  params: { count: "u32" },
  bindings: { gate: "read f32", up: "read f32", y: "read_write f32" },
});

const backward = defineKernel({
  label: "swiglu_backward",
  // d silu(g)/dg = σ(g) · (1 + g · (1 − σ(g)))
  source: `
fn element(index: u32) {
  let g = gate[index];
  let sigmoid = 1.0 / (1.0 + exp(-g));
  let d = dy[index];
  gate[index] = d * up[index] * sigmoid * (1.0 + g * (1.0 - sigmoid));
  up[index] = d * g * sigmoid;
}` + LINEAR_MAIN,
  params: { count: "u32" },
  bindings: { gate: "read_write f32", up: "read_write f32", dy: "read f32" },
});

/** y [count] = silu(gate) · up. */
export function encodeSwiglu(pass: Pass, call: {
  gate: GpuTensor;
  up: GpuTensor;
  y: GpuTensor;
  count: number;
}): void {
  const { gate, up, y, count } = call;
  pass.dispatch(forward, { params: { count }, tensors: { gate, up, y }, groups: linearGroups(count) });
}

/** Replaces gate and up [count] by their gradients, from the gradient dy of SwiGLU's result. */
export function encodeSwigluBackward(pass: Pass, call: {
  gate: GpuTensor;
  up: GpuTensor;
  dy: GpuTensor;
  count: number;
}): void {
  const { gate, up, dy, count } = call;
  pass.dispatch(backward, { params: { count }, tensors: { gate, up, dy }, groups: linearGroups(count) });
}
