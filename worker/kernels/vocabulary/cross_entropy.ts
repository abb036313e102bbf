/**
 * Cross entropy over a vocabulary in chunks, so that the logits of all rows and columns never exist at once: a first pass
 * over the chunks gathers each row's log-sum-exp, a second one turns each chunk's logits into their gradient.
 */
import { defineKernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { GpuTensor, Tensors } from "../../device/tensor.ts";
import lossSource from "./cross_entropy_loss.wgsl" with { type: "text" };
import statsSource from "./cross_entropy_stats.wgsl" with { type: "text" };
import { LINEAR_MAIN, linearGroups } from "../elementwise/linear_index.ts";

const statsOf = (smoothed: boolean) =>
  defineKernel({
    label: "cross_entropy_stats",
    source: statsSource,
    constants: { SMOOTHED: smoothed },
    params: { columns: "u32", firstColumn: "u32", ...(smoothed && SMOOTHING_PARAMS) },
    bindings: { logits: "read f32", labels: "read u32", stats: "read_write f32" },
  });

/** The probability that the target has at the label beyond `rest`, which it has everywhere. */
const SMOOTHING_PARAMS = { peak: "f32", rest: "f32" } as const;

const plainStats = statsOf(false);
const smoothedStats = statsOf(true);

const lossOf = (weighted: boolean) =>
  defineKernel({
    label: "cross_entropy_loss",
    source: lossSource,
    constants: { WEIGHTED: weighted },
    params: { rows: "u32" },
    bindings: { stats: "read f32", loss: "read_write f32", ...(weighted && WEIGHTS) },
  });

/** Of each row in the loss [rows]. */
const WEIGHTS = { weights: "read f32" } as const;

const plainLoss = lossOf(false);
const weightedLoss = lossOf(true);

const backwardOf = (softCap: number | null, smoothed: boolean, weighted: boolean) =>
  defineKernel({
    label: "cross_entropy_backward",
    // d loss / d logit = softmax − target, the one-hot of the label or its smoothed form; the loss is a sum over rows.
    source: `
fn element(index: u32) {
  let row = index / params.columns;
  let softmax = exp(logits[index] - stats[row * 3u]) / stats[row * 3u + 1u];
  let hit = labels[row] == params.firstColumn + index % params.columns;
//! if SMOOTHED
  let expected = params.rest + select(0.0, params.peak, hit);
//! end
//! if !SMOOTHED
  let expected = select(0.0, 1.0, hit);
//! end
//! if WEIGHTED
  let weight = weights[row];
//! end
//! if SOFT_CAP
  let tanh = logits[index] / f32(SOFT_CAP);
  logits[index] = (softmax - expected) * (1.0 - tanh * tanh);
//! end
//! if !SOFT_CAP
  logits[index] = softmax - expected;
//! end
//! if WEIGHTED
  logits[index] *= weight;
//! end
}` + LINEAR_MAIN,
    constants: { SOFT_CAP: softCap ?? 0, SMOOTHED: smoothed, WEIGHTED: weighted },
    params: { count: "u32", columns: "u32", firstColumn: "u32", ...(smoothed && SMOOTHING_PARAMS) },
    bindings: {
      ...{ logits: "read_write f32", labels: "read u32", stats: "read f32" } as const,
      ...(weighted && WEIGHTS),
    },
  });

const madeBackwards = new Map<string, ReturnType<typeof backwardOf>>();

/**
 * A chunk's logits [rows, columns], the columns [firstColumn, firstColumn + columns) of the vocabulary, with each row's
 * label [rows] and stats [rows, 3].
 */
type Chunk = KernelArguments<typeof plainStats> & {
  rows: number;
  smoothing?: Smoothing | null;
  weights?: GpuTensor | null;
};

/** Label smoothing as in transformers: of the target's probability, `share` is spread over the whole vocabulary. */
export interface Smoothing {
  readonly share: number;
  readonly vocabulary: number;
}

/** The target's probability at the label beyond `rest`, which it has everywhere. */
function smoothingParams(smoothing: Smoothing | null) {
  return smoothing === null
    ? {}
    : { peak: 1 - smoothing.share, rest: smoothing.share / smoothing.vocabulary };
}

/** Adds a chunk to the stats; chunks must come in ascending order, starting with column 0. */
export function encodeCrossEntropyStats(pass: Pass, call: Chunk): void {
  const { smoothing = null } = call;
  const kernel = smoothing === null ? plainStats : smoothedStats;
  pass.dispatch(kernel, { ...call, ...smoothingParams(smoothing) }, [call.rows]);
}

/**
 * loss[0] = the summed cross entropy of all rows, in nats, loss[1] = the rows whose label has the largest logit, each row by its
 * weight, after the stats of every chunk. The stats have both logits already, so the count costs nothing.
 */
export function encodeCrossEntropyLoss(
  pass: Pass,
  call: Tensors<"stats" | "loss"> & { rows: number; weights?: GpuTensor | null },
): void {
  const { weights = null } = call;
  const kernel = weights === null ? plainLoss : weightedLoss;
  pass.dispatch(kernel, { ...call, weights: weights ?? NO_WEIGHTS(call) }, [1]);
}

/** The kernel without weights binds none and ignores the field. */
const NO_WEIGHTS = ({ stats }: Tensors<"stats">) => stats;

/**
 * Replaces a chunk's logits by the gradient of the summed loss, after the stats of every chunk.
 * @param call.softCap if not null, the logits went through `encodeSoftCap`, and the gradient is that of the logits before
 */
export function encodeCrossEntropyBackward(
  pass: Pass,
  call: Chunk & { readonly softCap: number | null },
): void {
  const { softCap, smoothing = null, weights = null, ...chunk } = call;
  const [smoothed, weighted] = [smoothing !== null, weights !== null];
  const backward = madeBackwards.getOrInsertComputed(
    `${softCap} ${smoothed} ${weighted}`,
    () => backwardOf(softCap, smoothed, weighted),
  );
  const count = call.rows * call.columns;
  const given = { ...chunk, ...smoothingParams(smoothing), weights: weights ?? NO_WEIGHTS(call), count };
  pass.dispatch(backward, given, linearGroups(count));
}
