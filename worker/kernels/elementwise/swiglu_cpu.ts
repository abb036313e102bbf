/** SwiGLU in f64: the reference of the kernels. */

/** silu(gate) · up. */
export function swigluCpu(gate: ArrayLike<number>, up: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: gate.length }, (_, i) => gate[i]! / (1 + Math.exp(-gate[i]!)) * up[i]!);
}

/** The gradients of gate and up from the gradient dy of the result. */
export function swigluBackwardCpu(gate: ArrayLike<number>, up: ArrayLike<number>, dy: ArrayLike<number>) {
  const [dGate, dUp] = [new Float64Array(gate.length), new Float64Array(gate.length)];
  for (let i = 0; i < gate.length; i++) {
    const sigmoid = 1 / (1 + Math.exp(-gate[i]!));
    dGate[i] = dy[i]! * up[i]! * sigmoid * (1 + gate[i]! * (1 - sigmoid));
    dUp[i] = dy[i]! * gate[i]! * sigmoid;
  }
  return { dGate, dUp };
}
