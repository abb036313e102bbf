/** Inputs for attention's tests and benchmark: documents laid end to end, with seeded normal numbers. */
import { randomNormal, testPrng } from "./random_inputs.ts";

export interface AttentionCase {
  /** Seeds the numbers. */
  readonly name: string;
  /** Tokens of each document. */
  readonly lengths: readonly number[];
  /** Keys that a query sees at most; all of its document before it without one. */
  readonly window?: number;
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headDim: number;
}

/** The first key of each token, the end of its keys, and the end of the queries that see it. */
export function documents(lengths: readonly number[], window = Infinity) {
  const keyStarts: number[] = [];
  const queryEnds: number[] = [];
  for (const length of lengths) {
    const start = keyStarts.length;
    for (let i = 0; i < length; i++) {
      keyStarts.push(Math.max(start, start + i + 1 - window));
      queryEnds.push(Math.min(start + length, start + i + window));
    }
  }
  return {
    keyStarts: Uint32Array.from(keyStarts),
    keyEnds: Uint32Array.from(keyStarts, (_, t) => t + 1),
    queryEnds: Uint32Array.from(queryEnds),
  };
}

/** @param magnitude standard deviation of q and k; v and dOut have 1 */
export function attentionInputs(attentionCase: AttentionCase, magnitude = 1) {
  const { name, lengths, window, headCount, kvHeadCount, headDim } = attentionCase;
  const prng = testPrng(name);
  const tokenCount = lengths.reduce((sum, length) => sum + length, 0);
  return {
    ...documents(lengths, window),
    q: randomNormal(prng, tokenCount * headCount * headDim, magnitude),
    k: randomNormal(prng, tokenCount * kvHeadCount * headDim, magnitude),
    v: randomNormal(prng, tokenCount * kvHeadCount * headDim),
    dOut: randomNormal(prng, tokenCount * headCount * headDim),
    tokenCount,
  };
}
