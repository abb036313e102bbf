/** Which tokens of a text lie before a place in it. The tokenizer gives no offsets, so parts of the text are tokenised. */
import type { Anchor } from "./anchors.ts";
import { commonPrefix } from "../turns/lexemes.ts";

export interface Count {
  /** How many tokens end at or before the place. */
  readonly count: number;
  readonly isBorder: boolean;
}

export interface TokenCount {
  before(offset: number): Count;
  /** How many tokens end at or before an offset, with the one that reaches across it. */
  through(offset: number): number;
}

interface TokenizedText {
  readonly text: string;
  readonly ids: readonly number[];
  readonly encode: (text: string) => number[];
  readonly decode: (ids: readonly number[]) => string;
  /** What the text looks like once decoded. */
  readonly reveal: (text: string) => string;
  readonly anchors: readonly Anchor[];
  /** Whether it may be tokenised from any token's beginning on (anchors.ts). */
  readonly isSeamless: boolean;
}

/** A character's bytes, each a token of its own. */
const MAX_TOKENS_OF_CHARACTER = 4;

export function createTokenCount(
  { text, ids, encode, decode, reveal, anchors, isSeamless }: TokenizedText,
): TokenCount {
  const known = new Map<number, Count>();
  /** Places that were asked for and lie between two tokens. */
  const borders: Anchor[] = [];

  /**
   * Counts from a place at which a token begins, so that a long chat is not tokenised from its beginning for each of its
   * turns. The same ids stand for the same text; if the part's last ids differ, because the place lies inside a token,
   * decoding shows how far the tokens reach. Null if the part by itself is written in other tokens.
   */
  const countFrom = ({ offset: start, index }: Anchor, offset: number): Count | null => {
    const part = encode(text.slice(start, offset));
    const same = commonPrefix(part, ids.slice(index, index + part.length));
    if (same === part.length) return { count: index + same, isBorder: true };
    const wanted = reveal(text.slice(start, offset));
    const decoded = (count: number) => decode(ids.slice(index, index + count));
    if (!wanted.startsWith(decoded(same))) return null;
    let count = same;
    for (let more = same + 1; more - count <= MAX_TOKENS_OF_CHARACTER && index + more <= ids.length; more++) {
      if (wanted.startsWith(decoded(more))) count = more;
    }
    return { count: index + count, isBorder: decoded(count).length === wanted.length };
  };

  const search = (offset: number): Count => {
    const last = (places: readonly Anchor[]) => places.findLast((place) => place.offset < offset);
    const places = [last(borders), last(anchors), { offset: 0, index: 0 }].filter((place) =>
      place !== undefined
    );
    // The nearest first: the time goes with the text between.
    for (const place of places.sort((a, b) => b.offset - a.offset)) {
      const found = countFrom(place, offset);
      if (found !== null) return found;
    }
    return { count: commonPrefix(encode(text.slice(0, offset)), ids as number[]), isBorder: false };
  };

  const before = (offset: number): Count => {
    if (offset === 0) return { count: 0, isBorder: true };
    if (offset === text.length) return { count: ids.length, isBorder: true };
    let found = known.get(offset);
    if (found === undefined) {
      found = search(offset);
      known.set(offset, found);
      if (isSeamless && found.isBorder) borders.push({ offset, index: found.count });
    }
    return found;
  };
  return {
    before,
    through(offset) {
      const { count, isBorder } = before(offset);
      return isBorder ? count : Math.min(count + 1, ids.length);
    },
  };
}
