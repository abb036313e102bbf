/** Products of matrices: 2·m·n·k, of the rows and columns that a dispatch computes. */
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";
import { type CostOf, type KernelCost, numberBytes, spanOf, valueOf, WORD } from "./kernel_cost.ts";

/** Elements of NF4 that share an absmax, and absmax values that share a nested one. */
const [BLOCK, NESTED_BLOCK] = [64, 256];

/** Of the part that is dispatched. */
function shapeOf(dispatch: RecordedDispatch) {
  const { params, constants } = dispatch;
  const [top, bottom] = spanOf(dispatch, "Y", valueOf(constants, "TILE_M"), valueOf(params, "m"));
  const [left, right] = spanOf(dispatch, "X", valueOf(constants, "TILE_N"), valueOf(params, "n"));
  return { m: bottom - top, n: right - left, k: valueOf(params, "k") };
}

/** What both kernels share: A, bias and out. */
function productCost(dispatch: RecordedDispatch, kind: string): KernelCost {
  const { m, n, k } = shapeOf(dispatch);
  const { constants, groups: [x, y] } = dispatch;
  const tile = valueOf(constants, "TILE_M") * valueOf(constants, "TILE_N");
  const steps = Math.ceil(k / valueOf(constants, "TILE_K")) * valueOf(constants, "TILE_K");
  return {
    kind,
    flops: 2 * m * n * k,
    issuedFlops: 2 * x * y * tile * steps,
    reads: {
      a: WORD * m * k,
      ...constants["BIAS"] ? { bias: WORD * n } : {},
      ...constants["ACCUMULATE"] ? { out: WORD * m * n } : {},
    },
    writes: { out: WORD * m * n },
  };
}

const isBackward = ({ constants }: RecordedDispatch) => !constants["B_ALONG_K"];

/** A product with the frozen weight: forward with its rows along k, backward across. */
export const nf4MatmulCost: CostOf = (dispatch) => {
  const { n, k } = shapeOf(dispatch);
  const cost = productCost(dispatch, isBackward(dispatch) ? "NF4 matmul, backward" : "NF4 matmul, forward");
  const blocks = Math.ceil(n * k / BLOCK);
  const scales = dispatch.constants["DOUBLE_QUANTIZED"]
    ? { absmax: blocks, nested_absmax: WORD * Math.ceil(blocks / NESTED_BLOCK), dynamic_map: WORD * 256 }
    : { absmax: WORD * blocks };
  return { ...cost, reads: { ...cost.reads, codes: Math.ceil(n * k / 2), ...scales } };
};

export const matmulCost: CostOf = (dispatch) => {
  const { n, k } = shapeOf(dispatch);
  const labels = Object.values(dispatch.bindings).map(({ buffer }) => buffer.label);
  // LoRA's products have a part of the adapter, of its gradient, or both of A·x and x.
  const isLora = labels.some((label) => /^(adapter|gradient|loraInner|dLoraInner)\b/.test(label));
  const kind = isLora ? "LoRA matmul" : labels.includes("logits") ? "output layer matmul" : "f32 matmul";
  const cost = productCost(dispatch, kind);
  return { ...cost, reads: { ...cost.reads, b: numberBytes(dispatch) * n * k } };
};
