/** What a model of tokenizer.json is: from a piece of text to ids. */
import { toByteCharacters } from "../text/bytes.ts";

export interface EncodeMode {
  /** The piece's characters stand for themselves: no merge may put an id of `never` together. */
  readonly never: ReadonlySet<number> | null;
  /** The model sees the piece's bytes as characters (`toByteCharacters`). */
  readonly isByteLevel: boolean;
}

export interface Model {
  readonly type: "BPE" | "Unigram" | "WordPiece" | "WordLevel";
  readonly idOf: ReadonlyMap<string, number>;
  encode(piece: string, mode: EncodeMode, ids: number[]): void;
}

/** Words that come again and again need not be encoded again. */
export class WordCache {
  #known = new Map<string, readonly number[]>();

  get(word: string): readonly number[] | undefined {
    return this.#known.get(word);
  }

  set(word: string, ids: readonly number[]): void {
    if (word.length > MAX_CACHED_LENGTH) return;
    if (this.#known.size >= MAX_CACHED_WORDS) this.#known.clear();
    this.#known.set(word, ids);
  }
}

/** A model's `encode` that looks each piece up before it encodes it as one word. */
export function encodeCached(encodeWord: (word: string) => readonly number[]): Model["encode"] {
  const cache = new WordCache();
  return (piece, { isByteLevel }, ids) => {
    let encoded = cache.get(piece);
    if (encoded === undefined) {
      encoded = encodeWord(isByteLevel ? toByteCharacters(piece) : piece);
      cache.set(piece, encoded);
    }
    for (const id of encoded) ids.push(id);
  };
}

const MAX_CACHED_LENGTH = 64;
const MAX_CACHED_WORDS = 1 << 17;
