/** Which tokens go through the model next, while answers are generated with a KV cache. */
import { ropeRow } from "../../../shared/model/positions/long_rope.ts";

/** A prompt in progress: its place in the cache, and its answer so far. */
export interface Sequence {
  readonly prompt: Uint32Array;
  /** The row of its first token's key and value in the cache. */
  readonly cacheStart: number;
  readonly answer: number[];
  /** Tokens whose keys and values the cache holds. */
  cached: number;
  done: boolean;
}

/** The tokens of one pass, one entry each. */
export interface GenerationPass {
  readonly tokens: number[];
  readonly ropeRows: number[];
  /** The row of its sequence's first key, and its own row. */
  readonly keyStarts: number[];
  readonly cacheRows: number[];
  /** The last token of each sequence that ends in this pass: its logits choose the next one. */
  readonly lastRows: number[];
}

/**
 * Passes of up to `maxTokens` tokens that put all tokens of all sequences into the cache, which they then hold.
 * @param longStart see long_rope.ts: a sequence that becomes longer starts anew, as in transformers, because the keys in the
 * cache are turned by the short factors
 */
export function planPasses(
  sequences: readonly Sequence[],
  maxTokens: number,
  longStart: number | null,
): GenerationPass[] {
  const passes = [emptyPass()];
  for (const sequence of sequences) {
    const { prompt, answer, cacheStart } = sequence;
    const length = prompt.length + answer.length;
    const becomesLong = longStart !== null && sequence.cached <= longStart && length > longStart;
    for (let position = becomesLong ? 0 : sequence.cached; position < length; position++) {
      if (passes.at(-1)!.tokens.length === maxTokens) passes.push(emptyPass());
      const pass = passes.at(-1)!;
      pass.tokens.push(prompt[position] ?? answer[position - prompt.length]!);
      pass.ropeRows.push(ropeRow(position, length, longStart));
      pass.keyStarts.push(cacheStart);
      pass.cacheRows.push(cacheStart + position);
    }
    const last = passes.at(-1)!;
    last.lastRows.push(last.tokens.length - 1);
    sequence.cached = length;
  }
  return passes;
}

function emptyPass(): GenerationPass {
  return { tokens: [], ropeRows: [], keyStarts: [], cacheRows: [], lastRows: [] };
}
