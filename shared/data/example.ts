/** A tokenised document and which of its tokens are trained: what the data pipeline hands from part to part. */

export interface Example {
  /** Token ids [n]. */
  readonly tokens: Uint32Array;
  /** 1 where the token is to be predicted, 0 where it is context [n]. The first token never is predicted. */
  readonly completionMask: Uint8Array;
  /** The lines of the training file that it was made of, from 1; several where a stream of documents was cut. */
  readonly lines?: readonly number[];
}

/** How many tokens of a document count in the loss: the trained ones that have a token before them. */
export function countTrained({ completionMask }: Example): number {
  let count = 0;
  for (let t = 1; t < completionMask.length; t++) count += completionMask[t]!;
  return count;
}

/** The first `length` tokens. */
export function truncateExample(example: Example, length: number): Example {
  return {
    ...example,
    tokens: example.tokens.slice(0, length),
    completionMask: example.completionMask.slice(0, length),
  };
}
