/** Products of f32 matrices in the three layouts that training needs (matmul.wgsl). */
import { defineKernel, kernelVariants } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { GpuTensor, Tensors } from "../../device/tensor.ts";
import { type FloatFormat, HALF_WGSL } from "../elementwise/half_floats.ts";
import source from "./matmul.wgsl" with { type: "text" };
import { chooseTile, flopsOf, type MatmulShape, type Tile, tileGrid } from "./tile.ts";
import { tileConstants } from "./tile_constants.ts";

/** The operands in memory, row-major: `nt` a [m, k], b [n, k] · `nn` a [m, k], b [k, n] · `tn` a [k, m], b [k, n]. */
export type MatmulLayout = "nt" | "nn" | "tn";

const variantOf = kernelVariants((constants) =>
  defineKernel({
    label: "matmul",
    source: constants["HALF"] ? HALF_WGSL + source : source,
    params: { m: "u32", n: "u32", k: "u32", alpha: "f32" },
    bindings: {
      a: constants["VEC_A"] ? "read vec4<f32>" : "read f32",
      b: constants["HALF"]
        ? constants["VEC_B"] ? "read vec2<u32>" : "read u32"
        : constants["VEC_B"]
        ? "read vec4<f32>"
        : "read f32",
      bias: "read f32",
      out: constants["VEC_OUT"] ? "read_write vec4<f32>" : "read_write f32",
    },
    constants,
  })
);

/**
 * out [m, n] = alpha · A · B + bias [n], with `a` and `b` in the given layout; with `accumulate`, added to `out`. Any
 * m, n, k ≥ 1.
 * @param call.tile replaces the chosen tile, for tests
 * @throws RangeError if the grid exceeds the device's limits
 */
export function encodeMatmul(
  pass: Pass,
  call: Tensors<"a" | "b" | "out"> & MatmulShape & {
    layout: MatmulLayout;
    alpha?: number;
    accumulate?: boolean;
    bias?: GpuTensor;
    /** How `b` lies in memory; the product has the bits of the same numbers in f32. Left out: "f32". */
    bFormat?: FloatFormat;
    tile?: Tile;
  },
): void {
  const { layout, alpha = 1, accumulate = false, bias, bFormat = "f32" } = call;
  const tile = call.tile ?? chooseTile(call, pass.processor);
  const constants = {
    ...tileConstants(tile, call, { aAlongK: layout !== "tn", bAlongK: layout === "nt", bFormat }),
    ACCUMULATE: accumulate,
    BIAS: bias !== undefined,
  };
  const args = { ...call, alpha, bias: bias ?? call.b };
  pass.dispatch(variantOf(constants), args, tileGrid(tile, call), flopsOf(call));
}
