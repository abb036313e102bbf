/** Models that look words up: WordPiece (the longest known prefix, again and again) and WordLevel. */
import { z } from "zod";
import { LoraFleetError, quote } from "../../../errors.ts";
import { toByteCharacters } from "../text/bytes.ts";
import { vocabularySchema } from "../files/json.ts";
import { encodeCached, type Model } from "./model.ts";

const wordPieceSchema = z.looseObject({
  vocab: vocabularySchema,
  unk_token: z.string().default("[UNK]"),
  continuing_subword_prefix: z.string().default("##"),
  max_input_chars_per_word: z.int().min(1).default(100),
});
const wordLevelSchema = z.looseObject({ vocab: vocabularySchema, unk_token: z.string().default("<unk>") });

/** Throws a `z.ZodError` for fields of a different shape. */
export function createWordPiece(json: unknown): Model {
  const options = wordPieceSchema.parse(json);
  const idOf = options.vocab;
  const encodeWord = (word: string): readonly number[] => {
    const characters = [...word];
    const ids = characters.length > options.max_input_chars_per_word ? null : pieces(characters);
    return ids ?? [unknownIn(idOf, options.unk_token)];
  };
  return { type: "WordPiece", idOf, encode: encodeCached(encodeWord) };

  /** Null if a part of the word is unknown, which makes all of it unknown. */
  function pieces(characters: readonly string[]): number[] | null {
    const ids: number[] = [];
    for (let start = 0; start < characters.length;) {
      const prefix = start === 0 ? "" : options.continuing_subword_prefix;
      let end = characters.length;
      let id = idOf.get(prefix + characters.slice(start, end).join(""));
      while (id === undefined && --end > start) {
        id = idOf.get(prefix + characters.slice(start, end).join(""));
      }
      if (id === undefined) return null;
      ids.push(id);
      start = end;
    }
    return ids;
  }
}

/** Throws a `z.ZodError` for fields of a different shape. */
export function createWordLevel(json: unknown): Model {
  const { vocab, unk_token } = wordLevelSchema.parse(json);
  const idOf = vocab;
  return {
    type: "WordLevel",
    idOf,
    encode(piece, { isByteLevel }, ids) {
      ids.push(idOf.get(isByteLevel ? toByteCharacters(piece) : piece) ?? unknownIn(idOf, unk_token));
    },
  };
}

function unknownIn(idOf: ReadonlyMap<string, number>, token: string): number {
  const id = idOf.get(token);
  if (id !== undefined) return id;
  throw new LoraFleetError(
    "invalid_model",
    `tokenizer.json: a word is unknown, and model.unk_token ${quote(token)} is not in model.vocab`,
    { param: "tokenizer.json" },
  );
}
