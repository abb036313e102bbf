/** Gated linear units in f64: the reference of the kernels. */
import type { GateActivation } from "./glu.ts";

const ROOT = Math.sqrt(2 / Math.PI);

const ACTIVATIONS: Record<GateActivation, { value(g: number): number; slope(g: number): number }> = {
  silu: {
    value: (g) => g / (1 + Math.exp(-g)),
    slope: (g) => {
      const sigmoid = 1 / (1 + Math.exp(-g));
      return sigmoid * (1 + g * (1 - sigmoid));
    },
  },
  // As torch writes it.
  gelu_pytorch_tanh: {
    value: (g) => g / 2 * (1 + Math.tanh(ROOT * (g + 0.044715 * g ** 3))),
    slope: (g) => {
      const tanh = Math.tanh(ROOT * (g + 0.044715 * g ** 3));
      return (1 + tanh) / 2 + g / 2 * (1 - tanh ** 2) * ROOT * (1 + 3 * 0.044715 * g ** 2);
    },
  },
};

/** act(gate) · up. */
export function gluCpu(
  activation: GateActivation,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
): Float64Array {
  const { value } = ACTIVATIONS[activation];
  return Float64Array.from({ length: gate.length }, (_, i) => value(gate[i]!) * up[i]!);
}

/** The gradients of gate and up from the gradient dy of the result. */
export function gluBackwardCpu(
  activation: GateActivation,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  dy: ArrayLike<number>,
) {
  const { value, slope } = ACTIVATIONS[activation];
  const [dGate, dUp] = [new Float64Array(gate.length), new Float64Array(gate.length)];
  for (let i = 0; i < gate.length; i++) {
    dGate[i] = dy[i]! * up[i]! * slope(gate[i]!);
    dUp[i] = dy[i]! * value(gate[i]!);
  }
  return { dGate, dUp };
}
