/** Products of f32 matrices, in the three layouts that training needs; the source says how. */
import { defineKernel } from "../device/kernel.ts";
import type { Pass } from "../device/pass.ts";
import type { GpuTensor } from "../device/tensor.ts";
import source from "./matmul.wgsl" with { type: "text" };
import { chooseTile, type Tile } from "./matmul_tile.ts";

/**
 * How the operands lie in memory, row-major:
 * `nt` a [m, k], b [n, k] · `nn` a [m, k], b [k, n] · `tn` a [k, m], b [k, n].
 */
export type MatmulLayout = "nt" | "nn" | "tn";

const build = (layout: MatmulLayout, tile: Tile) =>
  defineKernel({
    label: "matmul",
    source,
    params: { m: "u32", n: "u32", k: "u32", alpha: "f32", accumulate: "u32", with_bias: "u32" },
    bindings: { a: "read f32", b: "read f32", bias: "read f32", out: "read_write f32" },
    constants: {
      ...tile,
      A_ALONG_K: layout !== "tn",
      B_ALONG_K: layout === "nt",
      NF4: false,
      DOUBLE_QUANTIZED: false,
    },
  });

const kernels = new Map<string, ReturnType<typeof build>>();

/**
 * out [m, n] = alpha · A · B + bias [n], where the rows of `a` and `b` lie as `layout` says; with `accumulate`, that is
 * added to what `out` holds. Any m, n, k ≥ 1.
 * @throws RangeError where a grid exceeds the device's limits
 */
export function encodeMatmul(pass: Pass, call: {
  a: GpuTensor;
  b: GpuTensor;
  out: GpuTensor;
  m: number;
  n: number;
  k: number;
  layout: MatmulLayout;
  alpha?: number;
  accumulate?: boolean;
  bias?: GpuTensor;
}): void {
  const { a, b, out, m, n, k, layout, alpha = 1, accumulate = false, bias } = call;
  const tile = chooseTile(m, n);
  const key = `${layout} ${Object.values(tile)}`;
  let kernel = kernels.get(key);
  if (kernel === undefined) kernels.set(key, kernel = build(layout, tile));
  pass.dispatch(kernel, {
    params: { m, n, k, alpha, accumulate: Number(accumulate), with_bias: Number(bias !== undefined) },
    tensors: { a, b, bias: bias ?? b, out },
    groups: [Math.ceil(n / tile.TILE_N), Math.ceil(m / tile.TILE_M)],
  });
}
