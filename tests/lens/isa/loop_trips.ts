/** How often a kernel's loops run, from the outermost on: its shape and constants say it, the compiled code does not. */
import { valueOf } from "../costs/kernel_cost.ts";
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";

/** Rows of a tile of attention's keys, and half of what causal attention sees. */
const KEYS_A_TILE = 64;
/** Loads of a tile's values by 128 invocations (tile_sums.wgsl). */
const TILE_THREADS = 128;

export function loopTrips({ kernel, constants, params }: RecordedDispatch): number[] {
  if (/matmul$/.test(kernel)) {
    const tileK = valueOf(constants, "TILE_K");
    return [Math.ceil(valueOf(params, "k") / tileK), tileK / 4 / valueOf(constants, "SPLIT")];
  }
  if (kernel.startsWith("attention_tile")) {
    const parts = valueOf(constants, "HEAD_PARTS");
    const step = valueOf(constants, "SUM_STEP");
    const tiles = Math.ceil((params["queryCount"] ?? valueOf(params, "tokenCount")) / 2 / KEYS_A_TILE);
    // Both inner loops, over the head and over the tile's rows; inside of the second one the loads.
    const inner = [tiles, KEYS_A_TILE / step, Math.ceil(step * parts * 16 / TILE_THREADS)];
    if (kernel.endsWith("_dq")) return inner;
    const outer = kernel.endsWith("_dkv") ? valueOf(params, "headCount") / valueOf(params, "kvHeadCount") : 1;
    return [outer, ...inner];
  }
  // A row's elements are shared by the lanes of a workgroup.
  const columns = params["columns"];
  return columns === undefined ? [] : [Math.ceil(columns / 64)];
}
