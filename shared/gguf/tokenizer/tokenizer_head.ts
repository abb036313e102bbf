/** The rules in tokenizer.json, without the added tokens before them and the vocabulary behind them: Gemma has 6,000 and 262,000. */
import {
  parseTokenizerJson,
  readTokenizerJson,
  type TokenizerJson,
} from "../../data/tokenizer/files/tokenizer_files.ts";

/** The added tokens of Gemma take 1 MB. */
const MAX_CHARS = 2 ** 23;

/**
 * tokenizer.json as if it had neither added tokens nor a vocabulary. Reads the whole file if it is not in the order in which the tokenizers
 * library writes. Throws as `readTokenizerJson`.
 */
export async function readTokenizerHead(folder: string): Promise<TokenizerJson> {
  return await headOf(`${folder}/tokenizer.json`) ?? await readTokenizerJson(folder);
}

async function headOf(path: string): Promise<TokenizerJson | null> {
  let text = "";
  try {
    using file = await Deno.open(path);
    for await (const part of file.readable.pipeThrough(new TextDecoderStream())) {
      const from = Math.max(0, text.length - 16);
      text += part;
      const at = text.slice(from).search(/"vocab"\s*:/);
      if (at >= 0) return parsed(`{${text.slice(text.search(/"normalizer"\s*:/), from + at)}"vocab":{}}}`);
      if (text.length > MAX_CHARS) return null;
    }
  } catch {
    // The reader of the whole file says what is wrong with it.
  }
  return null;
}

/** Null if some of what stands before the vocabulary in the library's order does not. */
function parsed(text: string): TokenizerJson | null {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || !("pre_tokenizer" in value)) return null;
  const head = parseTokenizerJson(value);
  const isWhole = head.model.type === "BPE" ? "fuse_unk" in head.model : head.model.type !== undefined;
  return isWhole ? head : null;
}
