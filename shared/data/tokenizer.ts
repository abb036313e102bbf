/**
 * The base model's tokenizer: text ↔ token ids, as transformers gives them for the same folder.
 */
import { PreTokenizer, Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { createSpecialText, type Hiding, type SpecialText } from "./special_text.ts";
import { readTokenizerFiles, type TokenizerFiles, type TokenizerJson } from "./tokenizer_files.ts";

export interface EncodeOptions {
  /** Put BOS (or what the tokenizer says) around the text; true by default, as in transformers. */
  readonly addSpecialTokens?: boolean;
  /** Encode strings such as "</s>" as plain text; true by default, unlike transformers. */
  readonly splitSpecialTokens?: boolean;
  /** For a text in which parts are hidden already: nothing else in it is taken for plain. */
  readonly hiding?: Hiding;
}

export interface Tokenizer {
  encode(text: string, options?: EncodeOptions): number[];
  /** Ids without a token (a model's vocabulary may be padded) decode to nothing. */
  decode(ids: Iterable<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
  readonly bosTokenId: number | null;
  /** Ids that end a text: the tokenizer's own first (what training appends), then those of the generation config. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  /** Highest id + 1, added tokens included. */
  readonly vocabSize: number;
  /** Jinja; null where the model has none. */
  readonly chatTemplate: TokenizerFiles["chatTemplate"];
  /** Texts of the named special tokens, as chat templates ask for them. */
  readonly specialTokens: TokenizerFiles["special"];
  readonly specialText: SpecialText;
}

/** Throws a `LoraFleetError` with code `invalid_model` that names the file at fault. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  return createTokenizer(await readTokenizerFiles(folder));
}

/** Throws a `LoraFleetError` with code `invalid_model` for what the tokenizer library does not support. */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const tokenizerJson = withNamedSpecials(files);
  const specials = tokenizerJson.added_tokens.filter(({ special }) => special);
  const specialText = createSpecialText(specials.map(({ content }) => content));
  const { library, setHiding } = openLibrary(
    withoutSpecialMerges(tokenizerJson, specials),
    new Set(specials.map(({ content }) => content)),
    files.special.eos,
  );
  const idOf = (text: string | null): number | null =>
    text === null ? null : library.token_to_id(text) ?? null;

  const run = (text: string, hiding: Hiding | null): number[] => {
    setHiding(hiding);
    return library.encode(text, { add_special_tokens: false }).ids;
  };
  const unknownId = idOf(files.special.unk);
  const specialIds = new Set(specials.map(({ id }) => id).filter((id) => id !== unknownId));
  /** A Unigram model has special tokens among its pieces and may find one in plain text. */
  const assertPlain = (ids: readonly number[], text: string): void => {
    const found = ids.find((id) => specialIds.has(id));
    if (found === undefined) return;
    throw new LoraFleetError(
      "invalid_dataset",
      `the text ${quote(text)} contains the special token ${
        quote(library.id_to_token(found))
      }, which this tokenizer ` +
        `cannot encode as plain text; change the text or set dataset.split_special_tokens to false`,
      { param: "dataset.split_special_tokens" },
    );
  };
  const around = specialsAround(library);
  const eosId = idOf(files.special.eos);
  return {
    encode(text, { addSpecialTokens = true, splitSpecialTokens = true, hiding } = {}) {
      const own = hiding ?? (splitSpecialTokens ? specialText.hidingFor(text) : null);
      const ids = run(hiding === undefined && own !== null ? own.hide(text) : text, own);
      if (hiding === undefined && own !== null) assertPlain(ids, text);
      return addSpecialTokens ? [...around.before, ...ids, ...around.after] : ids;
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      const known = [...ids].filter((id) => library.id_to_token(id) !== undefined);
      if (known.length === 0) return "";
      return library.decode(known, {
        skip_special_tokens: skipSpecialTokens,
        clean_up_tokenization_spaces: files.config.clean_up_tokenization_spaces ?? false,
      });
    },
    bosTokenId: idOf(files.special.bos),
    eosTokenIds: [...new Set([...(eosId === null ? [] : [eosId]), ...files.stopIds])],
    padTokenId: idOf(files.special.pad),
    vocabSize: highestId(library) + 1,
    chatTemplate: files.chatTemplate,
    specialTokens: files.special,
    specialText,
  };
}

function highestId(library: HuggingFaceTokenizer): number {
  let highest = -1;
  for (const id of library.get_vocab().values()) {
    if (library.id_to_token(id) !== undefined) highest = Math.max(highest, id);
  }
  return highest;
}

/** Throws a `LoraFleetError` with code `invalid_model` where the tokenizer has ids that the model has no row for. */
export function assertTokenizerFits(tokenizer: Pick<Tokenizer, "vocabSize">, modelVocabSize: number): void {
  if (tokenizer.vocabSize <= modelVocabSize) return;
  throw new LoraFleetError(
    "invalid_model",
    `tokenizer.json has ids up to ${
      tokenizer.vocabSize - 1
    }, but the base model's vocab_size is ${modelVocabSize}; ` +
      `the two do not belong together`,
    { param: "tokenizer.json" },
  );
}

/** The library's tokenizer, changed so that no text can become a special token except by naming it unhidden. */
function openLibrary(tokenizerJson: TokenizerJson, specials: ReadonlySet<string>, eosText: string | null): {
  readonly library: HuggingFaceTokenizer;
  /** What the next call of `encode` reveals once it has looked for special tokens. */
  readonly setHiding: (hiding: Hiding | null) => void;
} {
  let current: Hiding | null = null;

  /** Runs after special tokens were cut out and before the model sees the rest. */
  class Revealing extends PreTokenizer {
    override pre_tokenize_text(text: string, options?: { section_index: number }): string[] {
      const revealed = current === null ? text : current.reveal(text);
      const pieces = inner === null ? [revealed] : inner(revealed, options);
      // A piece that is a special token's string as a whole could be looked up as that token.
      return pieces.flatMap((piece) => specials.has(piece) ? [piece.slice(0, 1), piece.slice(1)] : [piece])
        .filter((piece) => piece.length > 0);
    }
  }

  let library: HuggingFaceTokenizer;
  try {
    library = new HuggingFaceTokenizer(tokenizerJson, { eos_token: eosText ?? undefined });
  } catch (cause) {
    throw new LoraFleetError("invalid_model", `tokenizer.json is not supported: ${messageOf(cause)}`, {
      param: "tokenizer.json",
      cause,
    });
  }
  const inner = library.pre_tokenizer;
  library.pre_tokenizer = new Revealing();
  return { library, setHiding: (hiding) => current = hiding };
}

/**
 * The named special tokens (bos, eos, …) are special even where tokenizer.json has them as ordinary entries of the
 * vocabulary, as in transformers (`TokenizersBackend._post_init`).
 */
function withNamedSpecials({ tokenizer, special }: TokenizerFiles): TokenizerJson {
  const vocabulary = tokenizer.model["vocab"];
  if (typeof vocabulary !== "object" || vocabulary === null || Array.isArray(vocabulary)) return tokenizer;
  const ids = new Map<string, unknown>(Object.entries(vocabulary));
  const named = new Set(Object.values(special));
  const present = new Set(tokenizer.added_tokens.map(({ content }) => content));
  const added = [...named].flatMap((content) => {
    const id = content === null || present.has(content) ? undefined : ids.get(content);
    if (content === null || typeof id !== "number") return [];
    return [{
      id,
      content,
      special: true,
      normalized: false,
      lstrip: false,
      rstrip: false,
      single_word: false,
    }];
  });
  const marked = tokenizer.added_tokens.map((token) =>
    named.has(token.content) ? { ...token, special: true } : token
  );
  return { ...tokenizer, added_tokens: [...marked, ...added] };
}

/** Leaves out the merges of a BPE model that would put a special token's string together from its characters. */
function withoutSpecialMerges(
  tokenizer: TokenizerJson,
  specials: readonly { readonly content: string }[],
): TokenizerJson {
  const merges = tokenizer.model["merges"];
  if (!Array.isArray(merges)) return tokenizer;
  const contents = new Set(specials.map(({ content }) => content));
  const isSpecial = (merge: unknown): boolean =>
    contents.has(Array.isArray(merge) ? merge.join("") : String(merge).replace(" ", ""));
  return { ...tokenizer, model: { ...tokenizer.model, merges: merges.filter((merge) => !isSpecial(merge)) } };
}

/**
 * The ids that the post-processor puts around a text. (`add_bos_token` in tokenizer_config.json decides nothing where
 * there is a tokenizer.json, in transformers 5 as here.)
 */
function specialsAround(
  library: HuggingFaceTokenizer,
): { readonly before: readonly number[]; readonly after: readonly number[] } {
  const probe = "a";
  const plain = library.encode(probe, { add_special_tokens: false }).ids;
  const full = library.encode(probe).ids;
  for (let at = 0; at + plain.length <= full.length; at++) {
    if (plain.every((id, i) => full[at + i] === id)) {
      return { before: full.slice(0, at), after: full.slice(at + plain.length) };
    }
  }
  throw new LoraFleetError(
    "invalid_model",
    `tokenizer.json: its post_processor changes ${quote(plain)} to ${
      quote(full)
    } instead of adding tokens around it`,
    { param: "tokenizer.json" },
  );
}
