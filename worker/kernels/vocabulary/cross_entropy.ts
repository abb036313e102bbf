/**
 * Cross entropy over a vocabulary in chunks, so that the logits of all rows and columns never exist at once: a first pass
 * over the chunks gathers each row's log-sum-exp, a second one turns each chunk's logits into their gradient.
 */
import { defineKernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import lossSource from "./cross_entropy_loss.wgsl" with { type: "text" };
import statsSource from "./cross_entropy_stats.wgsl" with { type: "text" };
import { LINEAR_MAIN, linearGroups } from "../elementwise/linear_index.ts";

const stats = defineKernel({
  label: "cross_entropy_stats",
  source: statsSource,
  params: { columns: "u32", firstColumn: "u32" },
  bindings: { logits: "read f32", labels: "read u32", stats: "read_write f32" },
});

const loss = defineKernel({
  label: "cross_entropy_loss",
  source: lossSource,
  params: { rows: "u32" },
  bindings: { stats: "read f32", loss: "read_write f32" },
});

const backwardOf = (softCap: number | null) =>
  defineKernel({
    label: "cross_entropy_backward",
    // d loss / d logit = softmax − one-hot of the label; the loss is a sum over rows, not a mean.
    source: `
fn element(index: u32) {
  let row = index / params.columns;
  let softmax = exp(logits[index] - stats[row * 3u]) / stats[row * 3u + 1u];
  let hit = labels[row] == params.firstColumn + index % params.columns;
//! if SOFT_CAP
  let tanh = logits[index] / f32(SOFT_CAP);
  logits[index] = (softmax - select(0.0, 1.0, hit)) * (1.0 - tanh * tanh);
//! end
//! if !SOFT_CAP
  logits[index] = softmax - select(0.0, 1.0, hit);
//! end
}` + LINEAR_MAIN,
    constants: { SOFT_CAP: softCap ?? 0 },
    params: { count: "u32", columns: "u32", firstColumn: "u32" },
    bindings: { logits: "read_write f32", labels: "read u32", stats: "read f32" },
  });

const madeBackwards = new Map<number | null, ReturnType<typeof backwardOf>>();

/**
 * A chunk's logits [rows, columns], the columns [firstColumn, firstColumn + columns) of the vocabulary, with each row's
 * label [rows] and stats [rows, 3].
 */
type Chunk = KernelArguments<typeof stats> & { rows: number };

/** Adds a chunk to the stats; chunks must come in ascending order, starting with column 0. */
export function encodeCrossEntropyStats(pass: Pass, call: Chunk): void {
  pass.dispatch(stats, call, [call.rows]);
}

/** loss[0] = the summed cross entropy of all rows, in nats, after the stats of every chunk. */
export function encodeCrossEntropyLoss(pass: Pass, call: KernelArguments<typeof loss>): void {
  pass.dispatch(loss, call, [1]);
}

/**
 * Replaces a chunk's logits by the gradient of the summed loss, after the stats of every chunk.
 * @param call.softCap if not null, the logits went through `encodeSoftCap`, and the gradient is that of the logits before
 */
export function encodeCrossEntropyBackward(
  pass: Pass,
  call: Chunk & { readonly softCap: number | null },
): void {
  const backward = madeBackwards.getOrInsertComputed(call.softCap, backwardOf);
  const count = call.rows * call.columns;
  pass.dispatch(backward, { ...call, count }, linearGroups(count));
}
