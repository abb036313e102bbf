/**
 * Byte pair encoding: the symbols of a word are merged, the merge of lowest rank first, the leftmost among equals
 * (Sennrich, Haddow & Birch 2016). Equal to `models/bpe` of the Rust library.
 */
import { z } from "zod";
import { LoraFleetError, quote } from "../../../errors.ts";
import { CHARACTER_BYTES, toByteCharacters } from "../text/bytes.ts";
import { vocabularySchema } from "../files/json.ts";
import { createMerger } from "./merge.ts";
import { type EncodeMode, type Model, WordCache } from "./model.ts";
import { PairTable } from "./pair_table.ts";
import { createWordSplitter } from "./word_splitter.ts";

/** "a b" or ["a", "b"]; hundreds of thousands of them, which a schema of zod's would take seconds for. */
type Merge = string | readonly string[];
const mergesSchema = z.custom<readonly Merge[]>(
  (value) =>
    Array.isArray(value) && value.every((merge) => typeof merge === "string" || Array.isArray(merge)),
  "a list of pairs is needed",
);
/** Words of more UTF-16 units are looked at for places where they may be cut. */
const LONG_PIECE = 24;
const bpeSchema = z.looseObject({
  vocab: vocabularySchema,
  merges: mergesSchema,
  dropout: z.number().nullish(),
  unk_token: z.string().nullish(),
  continuing_subword_prefix: z.string().nullish(),
  end_of_word_suffix: z.string().nullish(),
  fuse_unk: z.boolean().nullish(),
  byte_fallback: z.boolean().nullish(),
  ignore_merges: z.boolean().nullish(),
});

/** Throws a `LoraFleetError` with code `invalid_model`, or a `z.ZodError` for fields of a different shape. */
export function createBpe(json: unknown): Model {
  const options = parseBpe(json);
  const idOf = options.vocab;
  const ranks = readMerges(options.merges, idOf, options.continuing_subword_prefix ?? "");
  const merge = createMerger(ranks.table, ranks.results);
  const toSymbols = createSymbols(options, idOf);
  const plainCache = new WordCache();
  const guardedCache = new WordCache();

  // What the ends of a word change, and unknown characters that fuse, would come out otherwise.
  const mayCut = !options.continuing_subword_prefix && !options.end_of_word_suffix &&
    !options.ignore_merges &&
    ((options.unk_token ?? null) === null || !options.fuse_unk || hasAllBytes(options, idOf));
  const wordsOf = mayCut ? createWordSplitter(options.merges.map(partsOf)) : null;

  return {
    type: "BPE",
    idOf,
    encode(piece, mode, ids) {
      if (piece.length > LONG_PIECE && wordsOf !== null && !mode.isByteLevel) {
        for (const word of wordsOf(piece)) encodeCached(word, mode, ids);
      } else encodeCached(piece, mode, ids);
    },
  };

  function encodeCached(piece: string, mode: EncodeMode, ids: number[]): void {
    const cache = mode.never === null ? plainCache : guardedCache;
    let encoded = cache.get(piece);
    if (encoded === undefined) {
      encoded = encodeWord(piece, mode);
      cache.set(piece, encoded);
    }
    for (const id of encoded) ids.push(id);
  }

  function encodeWord(piece: string, { isByteLevel, never }: EncodeMode): readonly number[] {
    const word = isByteLevel ? toByteCharacters(piece) : piece;
    if (options.ignore_merges) {
      const whole = idOf.get(word);
      if (whole !== undefined && never?.has(whole) !== true) return [whole];
    }
    return merge(toSymbols(word), never);
  }
}

function parseBpe(json: unknown): z.output<typeof bpeSchema> {
  const options = bpeSchema.parse(json);
  if ((options.dropout ?? 0) > 0) {
    throw new LoraFleetError(
      "invalid_model",
      `tokenizer.json: model.dropout is ${options.dropout}, which encodes the same text in ever new ways; ` +
        `null is needed`,
      { param: "tokenizer.json" },
    );
  }
  return options;
}

/** Two empty texts if it is no pair: no vocabulary has them. */
function partsOf(merge: Merge): readonly [string, string] {
  const parts = typeof merge === "string" ? merge.split(" ") : merge;
  return parts.length === 2 ? [parts[0]!, parts[1]!] : ["", ""];
}

function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

function hasAllBytes(options: z.output<typeof bpeSchema>, idOf: ReadonlyMap<string, number>): boolean {
  return options.byte_fallback === true &&
    Array.from({ length: 256 }, (_, byte) => byteToken(byte)).every((token) => idOf.has(token));
}

/** The rank of each pair of ids (its place in the list), and the id that each rank gives. */
function readMerges(
  merges: z.output<typeof bpeSchema>["merges"],
  idOf: ReadonlyMap<string, number>,
  prefix: string,
): { table: PairTable; results: Int32Array } {
  const table = new PairTable(merges.length);
  const results = new Int32Array(merges.length);
  merges.forEach((merge, rank) => {
    const [left, right] = partsOf(merge);
    const result = idOf.get(left + right.slice(prefix.length));
    const leftId = idOf.get(left);
    const rightId = idOf.get(right);
    if (leftId === undefined || rightId === undefined || result === undefined) {
      throw new LoraFleetError(
        "invalid_model",
        `tokenizer.json: model.merges[${rank}] is ${quote(merge)}; two entries of the vocabulary that ` +
          `together are a third one are needed`,
        { param: "tokenizer.json" },
      );
    }
    results[rank] = result;
    table.set(leftId, rightId, rank);
  });
  return { table, results };
}

/** From a word to the ids of its characters, or of their bytes, or of the unknown token. */
function createSymbols(
  options: z.output<typeof bpeSchema>,
  idOf: ReadonlyMap<string, number>,
): (word: string) => number[] {
  const { continuing_subword_prefix: prefix, end_of_word_suffix: suffix } = options;
  const unknown = options.unk_token ?? null;
  const unknownId = unknown === null ? undefined : idOf.get(unknown);
  const byteIds = Array.from({ length: 256 }, (_, byte) => idOf.get(byteToken(byte)));
  const encoder = new TextEncoder();
  const bytesOf = (symbol: string): number[] | null => {
    const ids = Array.from(encoder.encode(symbol), (byte) => byteIds[byte]);
    return ids.every((id) => id !== undefined) ? ids : null;
  };
  /** Most characters are the first of their kind only once. */
  const simpleIds = new Map([...CHARACTER_BYTES.keys()].map((character) => [character, idOf.get(character)]));
  const isPlain = !prefix && !suffix;

  return (word) => {
    const symbols: number[] = [];
    /** An unknown character waits, since the next one may also be unknown and fuse with it. */
    let unknownWaits = false;
    let at = 0;
    for (const character of word) {
      const isFirst = at === 0;
      at += character.length;
      let id = isPlain ? simpleIds.get(character) : undefined;
      let symbol = character;
      if (id === undefined) {
        if (prefix && !isFirst) symbol = prefix + symbol;
        if (suffix && at === word.length) symbol += suffix;
        id = idOf.get(symbol);
      }
      if (id !== undefined) {
        if (unknownWaits) symbols.push(unknownId!);
        unknownWaits = false;
        symbols.push(id);
        continue;
      }
      const bytes = options.byte_fallback ? bytesOf(symbol) : null;
      if (bytes !== null) {
        symbols.push(...bytes);
      } else if (unknown !== null) {
        if (unknownId === undefined) throw missingUnknown(unknown);
        if (unknownWaits && !options.fuse_unk) symbols.push(unknownId);
        unknownWaits = true;
      }
    }
    if (unknownWaits) symbols.push(unknownId!);
    return symbols;
  };
}

function missingUnknown(token: string): LoraFleetError {
  return new LoraFleetError(
    "invalid_model",
    `tokenizer.json: model.unk_token is ${quote(token)}, which is not in model.vocab`,
    { param: "tokenizer.json" },
  );
}
