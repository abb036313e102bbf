/**
 * Places in a chat's text at which its tokenisation starts afresh: special tokens, which tokenizers cut out before they
 * look at the rest. What stands between two of them can be tokenised by itself.
 */
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";

export interface Anchor {
  readonly offset: number;
  readonly index: number;
}

/** Markers that a template may write. */
const MARKER = /<\|[^|<>]{1,60}\|>|<[^<>\s'"]{1,60}>|\[[^[\]\s'"]{1,60}\]/gu;

/** Learns which special tokens a template writes; texts of its chats are then searched for these. */
export function createAnchors(
  tokenizer: Tokenizer,
  source: string,
): (text: string, ids: readonly number[]) => readonly Anchor[] {
  const idOfText = new Map<string, number>();
  const named = Object.values(tokenizer.specialTokens).filter((text) => text !== null);
  for (const text of new Set([...named, ...source.match(MARKER) ?? []])) {
    const ids = tokenizer.encode(text, { addSpecialTokens: false, splitSpecialTokens: false });
    const isSpecial = ids.length === 1 && tokenizer.decode(ids) === text &&
      tokenizer.decode(ids, { skipSpecialTokens: true }) === "";
    if (isSpecial) idOfText.set(text, ids[0]!);
  }
  const specialIds = new Set(idOfText.values());
  return (text, ids) => {
    const indices = ids.flatMap((id, index) => specialIds.has(id) ? [index] : []);
    const found: Anchor[] = [];
    for (const { 0: marker, index: offset } of text.matchAll(MARKER)) {
      const id = idOfText.get(marker);
      if (id === undefined) continue;
      const index = indices[found.length];
      if (index === undefined || ids[index] !== id) return [];
      found.push({ offset, index });
    }
    return found.length === indices.length ? found : [];
  };
}

/**
 * Whether a text may be tokenised from any token's beginning on. Tokenizers that put a space before each text (Llama 2's)
 * would write the part in other tokens, or in the same ones by accident.
 */
export function isSeamless(tokenizer: Pick<Tokenizer, "encode">): boolean {
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  return encode("x\nc").join() === [...encode("x\n"), ...encode("c")].join();
}
