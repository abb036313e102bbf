/** A tokenizer that gives up on rows with certainly more tokens than a limit, before it has spent any time on them. */
import type { Example } from "../packing/example.ts";
import type { TokenBound } from "../tokenizer/token_bound.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

interface BoundedTokenizer {
  readonly tokenizer: Tokenizer;
  /** What `build` makes of a row, or the number of tokens that the row has at least where that is above the limit. */
  wholeRow(build: () => Example): Example | number;
}

/** Thrown through the example builder, which knows nothing of limits. */
class AboveLimit extends Error {
  readonly atLeast: number;

  constructor(atLeast: number) {
    super(`at least ${atLeast} tokens`);
    this.atLeast = atLeast;
  }
}

/**
 * Only the first text of a row is measured. It is the whole of the row; chat templates may write the beginning of a chat longer
 * than all of it, without what they drop of earlier turns.
 */
export function boundTokenizer(tokenizer: Tokenizer, bound: TokenBound, limit: number): BoundedTokenizer {
  let isFirst = true;
  const encode: Tokenizer["encode"] = (text, options) => {
    const atLeast = isFirst && text.length > limit ? bound(text) : 0;
    isFirst = false;
    if (atLeast > limit) throw new AboveLimit(atLeast);
    return tokenizer.encode(text, options);
  };
  return {
    tokenizer: { ...tokenizer, encode },
    wholeRow(build) {
      isFirst = true;
      try {
        return build();
      } catch (thrown) {
        if (thrown instanceof AboveLimit) return thrown.atLeast;
        throw thrown;
      }
    },
  };
}
