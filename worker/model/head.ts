/**
 * The end of the model: selected rows, final RMSNorm, the output layer in vocabulary chunks, and the loss. Rows without a label
 * never reach the output layer.
 */
import type { Gpu } from "../device/gpu.ts";
import type { GpuTensor } from "../device/tensor.ts";
import { encodeArgmax } from "../kernels/vocabulary/argmax.ts";
import {
  encodeCrossEntropyBackward,
  encodeCrossEntropyLoss,
  encodeCrossEntropyStats,
} from "../kernels/vocabulary/cross_entropy.ts";
import { encodeSoftCap } from "../kernels/vocabulary/soft_cap.ts";
import { encodeMatmul } from "../kernels/matmul/matmul.ts";
import { encodeRmsNorm, encodeRmsNormBackward } from "../kernels/norm/rms_norm.ts";
import { encodeGatherRows, encodeScatterRows, type TableSlab } from "../kernels/elementwise/rows.ts";
import type { PassContext } from "./pass_context.ts";
import type { BaseWeights } from "./weights.ts";

/** headNormed [rows, hidden] = RMSNorm of the residual stream's rows `workspace.headRows`. */
export function encodeHeadInput(
  context: PassContext,
  weights: BaseWeights,
  hidden: GpuTensor,
  rows: number,
): void {
  const { pass, spec, workspace } = context;
  const { hiddenSize: columns, rmsNormEpsilon: epsilon } = spec;
  const { headInput, headNormed, headRstd, headRows } = workspace;
  const slabs = [{ tensor: hidden, firstRow: 0, rowCount: context.rows }];
  encodeGatherRows(pass, { slabs, indices: headRows, y: headInput, rows, columns });
  const norm = { x: headInput, weight: weights.finalNorm, y: headNormed, rstd: headRstd };
  encodeRmsNorm(pass, { ...norm, rows, columns, epsilon });
}

/** logits [rows, slab.rowCount] = headNormed · the slab of the output layer, capped if the model caps them. */
function encodeLogits(context: PassContext, slab: TableSlab, rows: number): void {
  const { pass, spec, workspace } = context;
  const { headNormed: a, logits: out } = workspace;
  const shape = { m: rows, n: slab.rowCount, k: spec.hiddenSize };
  encodeMatmul(pass, { a, ...weightOf(slab), out, ...shape, layout: "nt" });
  const { logitSoftCap: cap } = spec;
  if (cap !== null) encodeSoftCap(pass, { logits: out, count: rows * slab.rowCount, cap });
}

/** A slab as the right side of a product. */
function weightOf({ tensor: b, format: bFormat = "f32" }: TableSlab) {
  return { b, bFormat };
}

/** workspace.bestToken [rows] = the most likely next token of each of the head's rows. */
export function encodeBestToken(context: PassContext, weights: BaseWeights, rows: number): void {
  const { logits, bestLogit, bestToken: bestColumn } = context.workspace;
  for (const slab of weights.head) {
    encodeLogits(context, slab, rows);
    const { rowCount: columns, firstRow: firstColumn } = slab;
    encodeArgmax(context.pass, { logits, bestLogit, bestColumn, rows, columns, firstColumn });
  }
}

/** workspace.loss = the summed cross entropy of the head's rows against workspace.labels [rows], and how many of them are hits. */
export function encodeLoss(context: PassContext, weights: BaseWeights, rows: number): void {
  const { pass, workspace } = context;
  for (const slab of weights.head) {
    encodeLogits(context, slab, rows);
    encodeCrossEntropyStats(pass, chunkOf(context, slab, rows));
  }
  const { lossStats: stats, loss } = workspace;
  encodeCrossEntropyLoss(pass, { stats, loss, rows, weights: weightsOf(context) });
}

/**
 * The summed loss of the head's rows, and how many labels are the most likely token: block by block if there are more rows than
 * the logits have. The first block is uploaded already.
 */
export async function readLoss(
  gpu: Gpu,
  context: PassContext,
  weights: BaseWeights,
  hidden: GpuTensor,
  { rows, blockRows, writeBlock }: {
    readonly rows: number;
    readonly blockRows: number;
    readonly writeBlock: (from: number, to: number) => void;
  },
): Promise<{ readonly lossSum: number; readonly correctCount: number }> {
  let [lossSum, correctCount] = [0, 0];
  for (let from = 0; from < rows; from += blockRows) {
    const to = Math.min(rows, from + blockRows);
    if (from > 0) writeBlock(from, to);
    encodeHeadInput(context, weights, hidden, to - from);
    encodeLoss(context, weights, to - from);
    const [loss, hits] = new Float32Array(await gpu.read(context.workspace.loss));
    lossSum += loss!;
    correctCount += hits!;
  }
  return { lossSum, correctCount };
}

/** workspace.dHidden [T, hidden] = the gradient of the summed loss with respect to the residual stream; after `encodeLoss`. */
export function encodeLossBackward(context: PassContext, weights: BaseWeights, rows: number): void {
  const { pass, spec, workspace } = context;
  const { hiddenSize: columns } = spec;
  const { logits, headInput, headRstd, headRows, dHeadNormed, dHeadInput, dHidden } = workspace;
  weights.head.forEach((slab, index) => {
    // A single chunk's logits are still there; several are recomputed one by one.
    if (weights.head.length > 1) encodeLogits(context, slab, rows);
    encodeCrossEntropyBackward(pass, { ...chunkOf(context, slab, rows), softCap: spec.logitSoftCap });
    const shape = { m: rows, n: columns, k: slab.rowCount };
    const accumulate = index > 0;
    encodeMatmul(pass, {
      a: logits,
      ...weightOf(slab),
      out: dHeadNormed,
      ...shape,
      layout: "nn",
      accumulate,
    });
  });
  pass.clear(dHeadInput, rows * columns * 4);
  const norm = { x: headInput, weight: weights.finalNorm, rstd: headRstd, dy: dHeadNormed, dx: dHeadInput };
  encodeRmsNormBackward(pass, { ...norm, rows, columns });
  pass.clear(dHidden, context.rows * columns * 4);
  encodeScatterRows(pass, { x: dHeadInput, indices: headRows, y: dHidden, rows, columns });
}

function chunkOf(context: PassContext, slab: TableSlab, rows: number) {
  const { logits, labels, lossStats: stats } = context.workspace;
  const share = context.training?.labelSmoothing ?? 0;
  const smoothing = share === 0 ? null : { share, vocabulary: context.spec.vocabSize };
  return {
    smoothing,
    weights: weightsOf(context),
    logits,
    labels,
    stats,
    rows,
    columns: slab.rowCount,
    firstColumn: slab.firstRow,
  };
}

/** The weights of the head's rows in the loss, in a buffer that only generation needs besides; null: all 1. */
function weightsOf({ training, workspace }: PassContext): GpuTensor | null {
  return training?.isWeighted ? workspace.bestLogit : null;
}

/** Reads logits [rows, vocabulary] chunk by chunk, after `encodeHeadInput`. */
export async function readLogits(
  gpu: Gpu,
  context: PassContext,
  weights: BaseWeights,
  rows: number,
): Promise<Float32Array> {
  const { vocabSize } = context.spec;
  const all = new Float32Array(rows * vocabSize);
  for (const slab of weights.head) {
    encodeLogits(context, slab, rows);
    const chunk = new Float32Array(await gpu.read(context.workspace.logits, rows * slab.rowCount * 4));
    for (let row = 0; row < rows; row++) {
      const part = chunk.subarray(row * slab.rowCount, (row + 1) * slab.rowCount);
      all.set(part, row * vocabSize + slab.firstRow);
    }
  }
  return all;
}
