/**
 * Gated linear units: act(gate) · up, element by element. With σ(x) = 1 / (1 + exp(−x)):
 *
 *     SwiGLU        act(g) = g · σ(g)
 *     GeGLU-tanh    act(g) = g · σ(2u),  u = √(2/π) · (g + 0.044715 · g³)
 *
 * The second is `gelu_pytorch_tanh`, g/2 · (1 + tanh u), without its cancellation for negative g.
 */
import { defineKernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import { LINEAR_MAIN, linearGroups } from "./linear_index.ts";

/** The activation of the gate, by the name that transformers' ACT2FN has for it. */
export type GateActivation = "silu" | "gelu_pytorch_tanh";

/** √(2/π) · 2 */
const SLOPE = "1.5957691216057308";
const CUBIC = "0.044715";

const forwardOf = (label: string, activated: string) =>
  defineKernel({
    label,
    source: `
fn element(index: u32) {
  let g = gate[index];
  y[index] = ${activated} * up[index];
}` + LINEAR_MAIN,
    params: { count: "u32" },
    bindings: { gate: "read f32", up: "read f32", y: "read_write f32" },
  });

/** @param slope the derivative of act(g) is σ · `slope` */
const backwardOf = (label: string, exponent: string, slope: string) =>
  defineKernel({
    label: `${label}_backward`,
    source: `
fn element(index: u32) {
  let g = gate[index];
  let sigmoid = 1.0 / (1.0 + exp(${exponent}));
  let d = dy[index];
  gate[index] = d * up[index] * sigmoid * ${slope};
  up[index] = d * g * sigmoid;
}` + LINEAR_MAIN,
    params: { count: "u32" },
    bindings: { gate: "read_write f32", up: "read_write f32", dy: "read f32" },
  });

const GELU_EXPONENT = `-${SLOPE} * (g + ${CUBIC} * g * g * g)`;

const KERNELS = {
  silu: {
    forward: forwardOf("swiglu", "g / (1.0 + exp(-g))"),
    backward: backwardOf("swiglu", "-g", "(1.0 + g * (1.0 - sigmoid))"),
  },
  gelu_pytorch_tanh: {
    forward: forwardOf("geglu_tanh", `g / (1.0 + exp(${GELU_EXPONENT}))`),
    backward: backwardOf(
      "geglu_tanh",
      GELU_EXPONENT,
      `(1.0 + g * (1.0 - sigmoid) * ${SLOPE} * (1.0 + 3.0 * ${CUBIC} * g * g))`,
    ),
  },
} as const;

type Call<Direction extends "forward" | "backward"> =
  & KernelArguments<typeof KERNELS["silu"][Direction]>
  & { readonly activation: GateActivation };

/** y [count] = act(gate) · up. */
export function encodeGlu(pass: Pass, call: Call<"forward">): void {
  pass.dispatch(KERNELS[call.activation].forward, call, linearGroups(call.count));
}

/** Replaces gate and up [count] by their gradients, from the gradient dy of the unit's result. */
export function encodeGluBackward(pass: Pass, call: Call<"backward">): void {
  pass.dispatch(KERNELS[call.activation].backward, call, linearGroups(call.count));
}
