/**
 * tokenizer.json as the Rust library reads it: added tokens are cut out, the rest is normalised, cut into pieces and
 * encoded piece by piece.
 */
import { z } from "zod";
import { LoraFleetError, quote } from "../../errors.ts";
import type { Hiding } from "./special_text.ts";
import type { TokenizerFiles, TokenizerJson } from "./files/tokenizer_files.ts";
import { type AddedToken, type AddedTokenFinder, createAddedTokenFinder } from "./added_tokens/finder.ts";
import { assertModelType, createModel } from "./models/create_model.ts";
import { declareTokens } from "./added_tokens/declared.ts";
import { createDecoder } from "./steps/decoders.ts";
import type { Model } from "./models/model.ts";
import { type Normalize, startOf } from "./steps/normalize.ts";
import { createNormalizer } from "./steps/normalizers.ts";
import { readSurroundings, type Surroundings } from "./steps/post_processors.ts";
import { createPreTokenizer, type PreTokenizer } from "./steps/pre_tokenizers.ts";

export interface Pipeline {
  /** The ids of a text, without what the post-processor puts around it. */
  encode(text: string, hiding: Hiding | null): number[];
  /** Ids without a token decode to nothing. */
  decode(ids: Iterable<number>, skipSpecialTokens: boolean): string;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** Highest id + 1. */
  readonly idCount: number;
  readonly modelType: Model["type"];
  readonly surroundings: Surroundings;
}

interface OpenedPipeline {
  readonly pipeline: Pipeline;
  readonly addedTokens: readonly AddedToken[];
  readonly specials: readonly AddedToken[];
  /** Texts of the named special tokens, by their field: "eos_token". */
  readonly named: ReadonlyMap<string, string>;
}

/** Throws a `LoraFleetError` with code `invalid_model` that names the file and its field. */
export function openPipeline(files: TokenizerFiles): OpenedPipeline {
  const model = part("model", () => createModel(files.tokenizer.model));
  const { addedTokens, named } = declareTokens(
    { ...files, addedTokens: files.tokenizer.added_tokens },
    model.idOf,
  );
  // A named one need not have the flag, but chats and training go by it.
  const names = new Set(named.values());
  const specials = addedTokens.filter(({ special, content }) => special || names.has(content));
  return {
    pipeline: createPipeline(files.tokenizer, model, addedTokens, specials),
    addedTokens,
    specials,
    named,
  };
}

/**
 * Throws as `openPipeline` for parts that are not supported, without reading the model's vocabulary, which takes most of the
 * time.
 */
export function checkParts(json: TokenizerJson): void {
  part("model", () => assertModelType(json.model));
  optionalPart("normalizer", json.normalizer, createNormalizer);
  optionalPart("pre_tokenizer", json.pre_tokenizer, createPreTokenizer);
  optionalPart("decoder", json.decoder, createDecoder);
  part("post_processor", () => readSurroundings(json.post_processor));
}

function createPipeline(
  json: TokenizerJson,
  model: Model,
  addedTokens: readonly AddedToken[],
  specials: readonly AddedToken[],
): Pipeline {
  const normalizer = optionalPart("normalizer", json.normalizer, createNormalizer);
  const preTokenizer = optionalPart("pre_tokenizer", json.pre_tokenizer, createPreTokenizer);
  const decoder = optionalPart("decoder", json.decoder, createDecoder);
  const surroundings = part("post_processor", () => readSurroundings(json.post_processor));

  const skipped = new Set(addedTokens.filter(({ special }) => special).map(({ content }) => content));
  const idByContent = new Map(addedTokens.map(({ content, id }) => [content, id]));
  const tokens = new Map([...model.idOf].map(([token, id]) => [id, token]));
  for (const { id, content, decodesNormalized } of addedTokens) {
    tokens.set(
      id,
      decodesNormalized && normalizer !== null ? normalizer(content, startOf(content)) : content,
    );
  }
  let highestId = -1;
  for (const id of tokens.keys()) highestId = Math.max(highestId, id);

  return {
    encode: createEncoder({ model, normalizer, preTokenizer, addedTokens, specials }),
    decode(ids, skipSpecialTokens) {
      const known: string[] = [];
      for (const id of ids) {
        const token = tokens.get(id);
        if (token !== undefined && !(skipSpecialTokens && skipped.has(token))) known.push(token);
      }
      if (known.length === 0) return "";
      return decoder === null ? known.join(" ") : decoder(known).join("");
    },
    idOf: (token) => idByContent.get(token) ?? model.idOf.get(token),
    tokenOf: (id) => tokens.get(id),
    idCount: highestId + 1,
    modelType: model.type,
    surroundings,
  };
}

interface EncoderParts {
  readonly model: Model;
  readonly normalizer: Normalize | null;
  readonly preTokenizer: PreTokenizer | null;
  readonly addedTokens: readonly AddedToken[];
  readonly specials: readonly AddedToken[];
}

function createEncoder(parts: EncoderParts): Pipeline["encode"] {
  const { model, normalizer, preTokenizer, addedTokens, specials } = parts;
  const plainTokens = findTokens(addedTokens.filter(({ normalized }) => !normalized), null);
  const normalizedTokens = findTokens(addedTokens.filter(({ normalized }) => normalized), normalizer);
  const contents = new Set(specials.map(({ content }) => content));
  const specialIds = new Set(specials.map(({ id }) => id));
  const isByteLevel = preTokenizer?.isByteLevel ?? false;
  // What is hidden comes back as late as a special token may still be found, and no later: it is to be normalised.
  const revealsLate = specials.some(({ normalized }) => normalized);

  return (text, hiding) => {
    if (text === "") return [];
    if (!text.isWellFormed()) {
      throw new LoraFleetError(
        "invalid_dataset",
        `the text ${quote(text)} has half of a surrogate pair, which is no character and has no UTF-8; ` +
          `write the whole character`,
      );
    }
    const ids: number[] = [];
    const mode = { never: hiding === null ? null : specialIds, isByteLevel };
    const encodePiece = (piece: string): void => {
      if (hiding === null || !contents.has(piece)) return model.encode(piece, mode, ids);
      // As a whole it would be looked up as the special token.
      for (const half of [piece.slice(0, 1), piece.slice(1)]) {
        if (half !== "") model.encode(half, mode, ids);
      }
    };
    for (const section of plainTokens.split(text)) {
      if (typeof section === "number") {
        ids.push(section);
        continue;
      }
      const early = hiding === null || revealsLate ? section.text : hiding.reveal(section.text);
      const start = startOf(early);
      const normalized = normalizer === null ? early : normalizer(early, start);
      for (const inner of normalizedTokens.split(normalized)) {
        if (typeof inner === "number") {
          ids.push(inner);
          continue;
        }
        const plain = hiding !== null && revealsLate
          ? revealNormalized(inner.text, hiding, normalizer)
          : inner.text;
        if (preTokenizer === null) {
          encodePiece(plain);
          continue;
        }
        const atStart = section.start === 0 && inner.start === 0 && start.length > 0;
        for (const piece of preTokenizer.split([plain], atStart)) encodePiece(piece);
      }
    }
    return ids;
  };
}

function findTokens(tokens: readonly AddedToken[], normalizer: Normalize | null): AddedTokenFinder {
  return createAddedTokenFinder(tokens.map((token) => ({
    pattern: normalizer === null ? token.content : normalizer(token.content, startOf(token.content)),
    token,
  })));
}

/** What comes back after the normaliser ran still has to pass it. */
function revealNormalized(text: string, hiding: Hiding, normalizer: Normalize | null): string {
  const revealed = hiding.reveal(text);
  if (normalizer === null || revealed === text) return revealed;
  let out = "";
  for (const character of text) {
    const shown = hiding.reveal(character);
    out += shown === character ? character : normalizer(shown, startOf(shown));
  }
  return out;
}

function optionalPart<T>(name: string, json: unknown, create: (json: unknown) => T): T | null {
  return json === null || json === undefined ? null : part(name, () => create(json));
}

/** Gives what is wrong with a part the file's and the part's name. */
function part<T>(name: string, create: () => T): T {
  try {
    return create();
  } catch (thrown) {
    if (!(thrown instanceof z.ZodError)) throw thrown;
    const [issue] = thrown.issues;
    const where = [name, ...issue?.path ?? []].join(".");
    throw new LoraFleetError("invalid_model", `tokenizer.json: ${where}: ${issue?.message}`, {
      param: "tokenizer.json",
      cause: thrown,
    });
  }
}
