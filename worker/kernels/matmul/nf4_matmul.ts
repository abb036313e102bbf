/** Products with a frozen NF4 weight, decoded on its way into workgroup memory (matmul.wgsl). */
import { defineKernel, kernelVariants } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { GpuTensor } from "../../device/tensor.ts";
import { CODEBOOK_WGSL } from "./nf4_codebook.ts";
import source from "./matmul.wgsl" with { type: "text" };
import { chooseTile, flopsOf, type Tile, tileGrid } from "./tile.ts";
import { tileConstants } from "./tile_constants.ts";

/** A weight [rows, columns] in NF4, as bitsandbytes packs it. */
export interface Nf4GpuWeight {
  readonly rows: number;
  readonly columns: number;
  /** u32 words of eight codes in flat row-major order; the even element of a byte is its high nibble. */
  readonly codes: GpuTensor;
  /** A factor for each block of 64 flat elements: f32, or with `doubleQuantized` four u8 codes per word. */
  readonly absmax: GpuTensor;
  readonly doubleQuantized: boolean;
  /** f32 for each 256 blocks; ignored unless `doubleQuantized`. */
  readonly nestedAbsmax: GpuTensor;
  readonly nestedOffset: number;
  /** The 256 f32 values of the u8 codes; ignored unless `doubleQuantized`. */
  readonly dynamicMap: GpuTensor;
}

const variantOf = kernelVariants((constants) =>
  defineKernel({
    label: "nf4_matmul",
    source: CODEBOOK_WGSL + source,
    params: { m: "u32", n: "u32", k: "u32", alpha: "f32", nested_offset: "f32" },
    bindings: {
      a: constants["VEC_A"] ? "read vec4<f32>" : "read f32",
      codes: "read u32",
      absmax: "read u32",
      nested_absmax: "read f32",
      dynamic_map: "read f32",
      bias: "read f32",
      out: constants["VEC_OUT"] ? "read_write vec4<f32>" : "read_write f32",
    },
    constants,
  })
);

/**
 * `nt`: out [m, rows] = a [m, columns] · Wᵀ + bias [rows], a linear layer's forward pass.
 * `nn`: out [m, columns] = a [m, rows] · W + bias [columns], its backward pass with respect to the input.
 * With `accumulate`, the product is added to `out`.
 * @param call.tile replaces the chosen tile, for tests
 * @throws RangeError if the grid exceeds the device's limits
 */
export function encodeNf4Matmul(pass: Pass, call: {
  a: GpuTensor;
  weight: Nf4GpuWeight;
  out: GpuTensor;
  m: number;
  layout: "nt" | "nn";
  accumulate?: boolean;
  bias?: GpuTensor;
  tile?: Tile;
}): void {
  const { a, weight, out, m, layout, accumulate = false, bias = a } = call;
  const { rows, columns, codes, absmax, doubleQuantized } = weight;
  const { nestedAbsmax: nested_absmax, nestedOffset: nested_offset, dynamicMap: dynamic_map } = weight;
  const [n, k] = layout === "nt" ? [rows, columns] : [columns, rows];
  const shape = { m, n, k };
  const tile = call.tile ?? chooseTile(shape, pass.processor);
  const constants = {
    ...tileConstants(tile, shape, { aAlongK: true, bAlongK: layout === "nt", nf4: { doubleQuantized } }),
    ACCUMULATE: accumulate,
    BIAS: call.bias !== undefined,
  };
  const params = { ...shape, alpha: 1, nested_offset };
  const tensors = { a, codes, absmax, nested_absmax, dynamic_map, bias, out };
  pass.dispatch(variantOf(constants), { ...params, ...tensors }, tileGrid(tile, shape), flopsOf(shape));
}
