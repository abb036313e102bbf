/**
 * The base model's tokenizer: text ↔ token ids, as transformers gives them for the same folder.
 */
import { LoraFleetError, quote } from "../../errors.ts";
import { createSpecialText, type Hiding, type SpecialText } from "./special_text.ts";
import { readTokenizerFiles, type TokenizerFiles } from "./files/tokenizer_files.ts";
import type { AddedToken } from "./added_tokens/finder.ts";
import { cleanUpSpaces } from "./steps/decoders.ts";
import { openPipeline, type Pipeline } from "./pipeline.ts";

interface EncodeOptions {
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
  readonly chatTemplate: TokenizerFiles["chatTemplate"];
  /** Texts of the named special tokens, as chat templates ask for them. */
  readonly specialTokens: Readonly<Record<"bos" | "eos" | "pad" | "unk", string | null>>;
  readonly specialText: SpecialText;
  /** Those of all files. */
  readonly addedTokens: readonly AddedToken[];
  /**
   * Throws a `LoraFleetError` with code `invalid_dataset` for an id that the base model has no row for; `encode` does so,
   * too. Without a bound (`boundTo`) every id fits.
   */
  assertFits(ids: Iterable<number>): void;
}

/** Throws a `LoraFleetError` with code `invalid_model` that names the file at fault. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  return createTokenizer(await readTokenizerFiles(folder));
}

/** Throws a `LoraFleetError` with code `invalid_model` for what is not supported. */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const { pipeline, specials, named, addedTokens } = openPipeline(files);
  const specialText = createSpecialText(specials.map(({ content }) => content));
  const textOf = (name: string): string | null => named.get(`${name}_token`) ?? null;
  const idOf = (name: string): number | null => pipeline.idOf(textOf(name) ?? "") ?? null;
  const assertPlain = createPlainCheck(pipeline, specials, idOf("unk"));
  const { before, after } = pipeline.surroundings;
  const eosId = idOf("eos");
  // Made for WordPiece; with BPE it would take spaces away that the text had.
  const cleansUp = files.config.clean_up_tokenization_spaces === true && pipeline.modelType !== "BPE";
  return {
    encode(text, { addSpecialTokens = true, splitSpecialTokens = true, hiding } = {}) {
      const own = hiding ?? (splitSpecialTokens ? specialText.hidingFor(text) : null);
      const ids = pipeline.encode(hiding === undefined && own !== null ? own.hide(text) : text, own);
      if (hiding === undefined && own !== null) assertPlain(ids, text);
      return addSpecialTokens ? [...before, ...ids, ...after] : ids;
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      const text = pipeline.decode(ids, skipSpecialTokens);
      return cleansUp ? cleanUpSpaces(text) : text;
    },
    bosTokenId: idOf("bos"),
    eosTokenIds: [...new Set([...(eosId === null ? [] : [eosId]), ...files.stopIds])],
    padTokenId: idOf("pad"),
    vocabSize: pipeline.idCount,
    chatTemplate: files.chatTemplate,
    specialTokens: { bos: textOf("bos"), eos: textOf("eos"), pad: textOf("pad"), unk: textOf("unk") },
    specialText,
    addedTokens,
    assertFits: () => {},
  };
}

/** A Unigram model has special tokens among its pieces and may find one in plain text. */
function createPlainCheck(
  pipeline: Pipeline,
  specials: readonly { readonly id: number }[],
  unknownId: number | null,
): (ids: readonly number[], text: string) => void {
  const specialIds = new Set(specials.map(({ id }) => id).filter((id) => id !== unknownId));
  return (ids, text) => {
    const found = ids.find((id) => specialIds.has(id));
    if (found === undefined) return;
    throw new LoraFleetError(
      "invalid_dataset",
      `the text ${quote(text)} contains the special token ${quote(pipeline.tokenOf(found))}, which this ` +
        `tokenizer cannot encode as plain text; change the text or set dataset.split_special_tokens to ` +
        `false`,
      { param: "dataset.split_special_tokens" },
    );
  };
}

/**
 * A tokenizer may have tokens that its model has no row for, such as the padding token that many fine-tunes of Llama 2
 * added: they are refused if a text uses them.
 */
export function boundTo(tokenizer: Tokenizer, modelVocabSize: number): Tokenizer {
  const assertFits = (ids: Iterable<number>): void => {
    for (const id of ids) {
      if (id < modelVocabSize) continue;
      throw new LoraFleetError(
        "invalid_dataset",
        `the token ${quote(tokenizer.decode([id]))} has the id ${id}, but the base model's vocab_size is ` +
          `${modelVocabSize}: it has no row for it; leave the token out, or train a base model whose embeddings ` +
          `were resized for it`,
      );
    }
  };
  return {
    ...tokenizer,
    assertFits,
    encode(text, options) {
      const ids = tokenizer.encode(text, options);
      assertFits(ids);
      return ids;
    },
  };
}
