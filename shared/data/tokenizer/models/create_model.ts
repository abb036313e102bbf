import { z } from "zod";
import { createBpe } from "./bpe.ts";
import { unsupported } from "../files/json.ts";
import type { Model } from "./model.ts";
import { createUnigram } from "./unigram.ts";
import { createWordLevel, createWordPiece } from "./word_piece.ts";

const typeSchema = z.looseObject({ type: z.string().optional(), vocab: z.unknown().optional() });

const TYPES: readonly string[] = ["BPE", "Unigram", "WordPiece", "WordLevel"];

/** Throws a `LoraFleetError` with code `invalid_model` for a type of model that `createModel` does not make. */
export function assertModelType(json: unknown): void {
  const { type } = typeSchema.parse(json);
  if (type !== undefined && !TYPES.includes(type)) throw unsupported("model", type);
}

/** Throws a `LoraFleetError` with code `invalid_model`, or a `z.ZodError` for fields of a different shape. */
export function createModel(json: unknown): Model {
  const parsed = typeSchema.parse(json);
  switch (parsed.type ?? typeOf(parsed)) {
    case "BPE":
      return createBpe(json);
    case "Unigram":
      return createUnigram(json);
    case "WordPiece":
      return createWordPiece(json);
    case "WordLevel":
      return createWordLevel(json);
    default:
      throw unsupported("model", parsed.type);
  }
}

/** Old files do not name the type: the first that the fields fit, in the Rust library's order. */
function typeOf(json: Readonly<Record<string, unknown>>): Model["type"] {
  if ("merges" in json) return "BPE";
  if (Array.isArray(json["vocab"])) return "Unigram";
  return "max_input_chars_per_word" in json || "continuing_subword_prefix" in json
    ? "WordPiece"
    : "WordLevel";
}
