/** Inputs for attention's tests and benchmark: documents laid end to end, with seeded normal numbers. */
import { randomNormal, testPrng } from "./random_inputs.ts";

export interface AttentionCase {
  /** Seeds the numbers. */
  readonly name: string;
  /** Tokens of each document. */
  readonly lengths: readonly number[];
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headDim: number;
}

/** The bounds of each token's document, and the end of its keys. */
export function documents(lengths: readonly number[]) {
  const keyStarts: number[] = [];
  const queryEnds: number[] = [];
  for (const length of lengths) {
    const start = keyStarts.length;
    for (let i = 0; i < length; i++) {
      keyStarts.push(start);
      queryEnds.push(start + length);
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
  const { name, lengths, headCount, kvHeadCount, headDim } = attentionCase;
  const prng = testPrng(name);
  const tokenCount = lengths.reduce((sum, length) => sum + length, 0);
  return {
    ...documents(lengths),
    q: randomNormal(prng, tokenCount * headCount * headDim, magnitude),
    k: randomNormal(prng, tokenCount * kvHeadCount * headDim, magnitude),
    v: randomNormal(prng, tokenCount * kvHeadCount * headDim),
    dOut: randomNormal(prng, tokenCount * headCount * headDim),
    tokenCount,
  };
}
