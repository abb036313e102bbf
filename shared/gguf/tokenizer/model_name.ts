/** The name of a model in its GGUF file, by which llama.cpp knows how the special tokens of Phi-3 are read. */
import type { AddedToken } from "../../data/tokenizer/added_tokens/finder.ts";

const MARK = /phi-?3/gi;
/** llama.cpp does not load a file with the mark and without these. */
const NEEDED = ["</s>", "<unk>", "<s>", "<|endoftext|>"];

/**
 * A file cannot say that white space behind a special token belongs to it (`rstrip`). llama.cpp takes this for given if the name
 * has "phi-3" or "phi3" in it (llama-vocab.cpp, "Handle per token attributes"): a model with such tokens is called so, and no other.
 */
export function ggufModelName(
  name: string,
  addedTokens: readonly Pick<AddedToken, "content" | "special" | "rstrip">[],
): string {
  const texts = new Set(addedTokens.map(({ content }) => content));
  const isStripped = addedTokens.some(({ content, special, rstrip }) =>
    special && rstrip && !NEEDED.includes(content)
  );
  if (!isStripped || !NEEDED.every((text) => texts.has(text))) {
    return name.replaceAll(MARK, (found) => `${found.slice(0, 3)}_3`);
  }
  return name.search(MARK) >= 0 ? name : `${name} (Phi-3)`;
}
