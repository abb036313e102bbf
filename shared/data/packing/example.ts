/** A tokenised document and its completion mask: what the stages of the data pipeline exchange. */

export interface Example {
  /** Token ids [n]. */
  readonly tokens: Uint32Array;
  /** TRL's `completion_mask`: 1 for a token to predict, 0 for context [n]. The first token is never predicted. */
  readonly completionMask: Uint8Array;
  /** Of each of its labels in the loss; 1 if left out. */
  readonly weight?: number;
  /** The lines of the training file that it comes from, from 1; several if a stream of documents was cut. */
  readonly lines?: readonly number[];
}

/** How many labels a document gives: the tokens of its completion mask that follow another token. */
export function countExampleLabels({ completionMask }: Example): number {
  let count = 0;
  for (let t = 1; t < completionMask.length; t++) count += completionMask[t]!;
  return count;
}

export function truncateExample(example: Example, length: number): Example {
  return {
    ...example,
    tokens: example.tokens.slice(0, length),
    completionMask: example.completionMask.slice(0, length),
  };
}
