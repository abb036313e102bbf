/** Chooses the next token by chance, as transformers' `generate` does with `do_sample`: temperature, then top-k, then top-p. */
import { pcg32 } from "../../../shared/prng.ts";

export interface Sampling {
  /** Above 0. */
  readonly temperature: number;
  /** The smallest set of the most likely tokens with at least this probability remains; 1: all. */
  readonly topP: number;
  /** So many of the most likely tokens remain; 0: all. */
  readonly topK: number;
  readonly seed: number;
}

/** The tokens that may follow and their probabilities, most likely first; equal ones in the order of their ids. */
export function nextTokens(
  logits: Float32Array,
  { temperature, topP, topK }: Sampling,
): { readonly token: number; readonly probability: number }[] {
  const order = Array.from(logits, (logit, token) => ({ token, logit: logit / temperature }))
    .sort((a, b) => b.logit - a.logit || a.token - b.token)
    .slice(0, topK === 0 ? logits.length : topK);
  const largest = order[0]!.logit;
  const weights = order.map(({ logit }) => Math.exp(logit - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let [kept, count] = [0, 0];
  while (count < order.length && (count === 0 || kept / total < topP)) kept += weights[count++]!;
  return order.slice(0, count).map(({ token }, i) => ({ token, probability: weights[i]! / kept }));
}

/** The next token by its logits [vocabulary]. */
export type Chooser = (logits: Float32Array) => number;

/** Chooses the tokens of one answer. The same seed and prompt give the same answer, whatever else is answered beside it. */
export function createChooser(sampling: Sampling, promptIndex: number): Chooser {
  const random = pcg32(sampling.seed, promptIndex);
  return (logits) => {
    const candidates = nextTokens(logits, sampling);
    let left = random.uniform();
    for (const { token, probability } of candidates) {
      left -= probability;
      if (left < 0) return token;
    }
    return candidates.at(-1)!.token;
  };
}
