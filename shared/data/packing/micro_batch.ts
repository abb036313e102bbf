/**
 * A micro-batch: the packed token rows of one forward and backward pass, self-contained, so that any worker can do it.
 *
 * Rows are laid end to end without padding: attention is block-diagonal by document, so rows need no shape of their
 * own. All arrays have length T, the micro-batch's token count.
 */
export interface MicroBatch {
  /** Token ids [T]. */
  readonly tokens: Uint32Array;
  /** For each token the id that the model should predict next, or `IGNORE_INDEX` if none is trained [T]. */
  readonly labels: Int32Array;
  /** Position of each token within its document, for RoPE [T]. */
  readonly positions: Uint32Array;
  /** Index of the first token that each token may attend to: where its document begins. Never decreases [T]. */
  readonly segmentStarts: Uint32Array;
  /** Of each token's label in the loss [T]; left out: all 1. */
  readonly weights?: Float32Array;
}

/** The label that transformers and PyTorch leave out of the loss. */
export const IGNORE_INDEX = -100;

/** The sum of the labels' weights, by which losses and gradients are divided; their number if all weights are 1. */
export function labelWeight({ labels, weights }: MicroBatch): number {
  let sum = 0;
  labels.forEach((label, t) => {
    if (label !== IGNORE_INDEX) sum += weights?.[t] ?? 1;
  });
  return sum;
}

export function countLabels(batch: MicroBatch): number {
  let count = 0;
  for (const label of batch.labels) if (label !== IGNORE_INDEX) count++;
  return count;
}
