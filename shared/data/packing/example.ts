/** A tokenised document and its completion mask: what the stages of the data pipeline exchange. */

export interface Example {
  /** Token ids [n]. */
  readonly tokens: Uint32Array;
  /** TRL's `completion_mask`: 1 for a token to predict, 0 for context [n]. The first token is never predicted. */
  readonly completionMask: Uint8Array;
  /** Of each of its labels in the loss; 1 if left out. */
  readonly weight?: number;
  /** Runs of tokens whose labels count more or less than the example's others, ascending; none if left out. */
  readonly weightSpans?: readonly WeightSpan[];
  /** The lines of the training file that it comes from, from 1; several if a stream of documents was cut. */
  readonly lines?: readonly number[];
}

/** Tokens `start` … `end − 1` of a document: `weight` times the document's own. */
export interface WeightSpan {
  readonly start: number;
  readonly end: number;
  readonly weight: number;
}

/** How many labels a document gives: the tokens of its completion mask that follow another token. */
export function countExampleLabels({ completionMask }: Example): number {
  let count = 0;
  for (let t = 1; t < completionMask.length; t++) count += completionMask[t]!;
  return count;
}

export function truncateExample(example: Example, length: number): Example {
  const { weightSpans, ...rest } = example;
  const spans = weightSpans?.filter(({ start }) => start < length)
    .map((span) => ({ ...span, end: Math.min(span.end, length) }));
  return {
    ...rest,
    tokens: example.tokens.slice(0, length),
    completionMask: example.completionMask.slice(0, length),
    ...spans === undefined || spans.length === 0 ? {} : { weightSpans: spans },
  };
}
