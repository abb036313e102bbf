/** SwiGLU: silu(gate) · up, element by element, with silu(g) = g · σ(g). */
import { defineKernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
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
export function encodeSwiglu(pass: Pass, call: KernelArguments<typeof forward>): void {
  pass.dispatch(forward, call, linearGroups(call.count));
}

/** Replaces gate and up [count] by their gradients, from the gradient dy of SwiGLU's result. */
export function encodeSwigluBackward(pass: Pass, call: KernelArguments<typeof backward>): void {
  pass.dispatch(backward, call, linearGroups(call.count));
}
