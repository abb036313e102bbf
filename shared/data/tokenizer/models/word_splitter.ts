/**
 * Where no merge reaches over the border of two characters, a text falls apart into words that can be encoded one by
 * one, and be remembered: tokenizers without a pre-tokenizer (Llama 2, Gemma) merge whole documents otherwise.
 */
import { PairTable } from "./pair_table.ts";

const BYTE_TOKEN = /^<0x[0-9A-F]{2}>$/;

/** Pairs of characters below this are looked up in an array. */
const ASCII = 128;

/**
 * Cuts between characters that stand beside each other in no merge: the same ids as without cutting, since merges within
 * one word do not see those of another.
 * @param merges the two parts of each
 * @returns null if the parts do not tell which characters are merged
 */
export function createWordSplitter(
  merges: Iterable<readonly [string, string]>,
): ((text: string) => string[]) | null {
  const joined = new PairTable(1 << 12);
  const joinedAscii = new Uint8Array(ASCII * ASCII);
  for (const [left, right] of merges) {
    if (BYTE_TOKEN.test(left) || BYTE_TOKEN.test(right)) return null;
    const before = lastPoint(left);
    const after = right.codePointAt(0) ?? 0;
    if (before < ASCII && after < ASCII) joinedAscii[before * ASCII + after] = 1;
    else joined.set(before, after, 1);
  }
  const joins = (before: number, after: number): boolean =>
    before < ASCII && after < ASCII
      ? joinedAscii[before * ASCII + after] === 1
      : joined.get(before, after) === 1;

  return (text) => {
    const words: string[] = [];
    let start = 0;
    let before = text.codePointAt(0)!;
    for (let at = before > 0xffff ? 2 : 1; at < text.length;) {
      const after = text.codePointAt(at)!;
      if (!joins(before, after)) {
        words.push(text.slice(start, at));
        start = at;
      }
      before = after;
      at += after > 0xffff ? 2 : 1;
    }
    words.push(text.slice(start));
    return words;
  };
}

function lastPoint(text: string): number {
  const unit = text.charCodeAt(text.length - 1);
  return unit >= 0xdc00 && unit < 0xe000 ? text.codePointAt(text.length - 2)! : unit;
}
