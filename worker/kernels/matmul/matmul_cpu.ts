/** Products of matrices in f64, in plain loops: the reference of the kernels. */
import type { MatmulLayout } from "./matmul.ts";

/** alpha · A · B (+ bias) (+ before), see `encodeMatmul` for the layouts. */
export function matmulCpu(call: {
  a: ArrayLike<number>;
  b: ArrayLike<number>;
  m: number;
  n: number;
  k: number;
  layout: MatmulLayout;
  alpha?: number;
  bias?: ArrayLike<number> | undefined;
  before?: ArrayLike<number> | undefined;
}): Float64Array {
  const { a, b, m, n, k, layout, alpha = 1, bias, before } = call;
  const out = new Float64Array(m * n);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) {
      let sum = 0;
      for (let i = 0; i < k; i++) {
        const left = layout === "tn" ? a[i * m + row]! : a[row * k + i]!;
        const right = layout === "nt" ? b[column * k + i]! : b[i * n + column]!;
        sum += left * right;
      }
      const at = row * n + column;
      out[at] = alpha * sum + (bias?.[column] ?? 0) + (before?.[at] ?? 0);
    }
  }
  return out;
}
