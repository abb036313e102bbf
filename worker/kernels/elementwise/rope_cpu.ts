/** Rotary position embedding in f64, in plain loops: the reference of the kernel. */

/**
 * x [rows, headCount · headDim], the first `dimensions` values of each head rotated by the row's position.
 * @param cos table [maxPositions, dimensions / 2], as `sin`
 * @param inverse rotates backwards, which is also the gradient
 */
export function ropeCpu(call: {
  x: ArrayLike<number>;
  cos: ArrayLike<number>;
  sin: ArrayLike<number>;
  positions: ArrayLike<number>;
  headCount: number;
  headDim: number;
  dimensions?: number;
  inverse: boolean;
}): Float64Array {
  const { x, cos, sin, positions, headCount, headDim, inverse } = call;
  const half = (call.dimensions ?? headDim) / 2;
  const y = Float64Array.from(x);
  for (let head = 0; head < positions.length * headCount; head++) {
    const position = positions[Math.floor(head / headCount)]!;
    for (let i = 0; i < half; i++) {
      const [low, high] = [x[head * headDim + i]!, x[head * headDim + half + i]!];
      const c = cos[position * half + i]!;
      const s = inverse ? -sin[position * half + i]! : sin[position * half + i]!;
      y[head * headDim + i] = low * c - high * s;
      y[head * headDim + half + i] = high * c + low * s;
    }
  }
  return y;
}
