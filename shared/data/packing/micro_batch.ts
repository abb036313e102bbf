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
}

/** The label that transformers and PyTorch leave out of the loss. */
export const IGNORE_INDEX = -100;

export function countLabels(batch: MicroBatch): number {
  let count = 0;
  for (const label of batch.labels) if (label !== IGNORE_INDEX) count++;
  return count;
}
