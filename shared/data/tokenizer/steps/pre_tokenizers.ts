/** tokenizer.json's `pre_tokenizer`: a text's pieces, which the model then encodes one by one. */
import { z } from "zod";
import { toByteCharacters } from "../text/bytes.ts";
import { unsupported } from "../files/json.ts";
import { compilePattern } from "./patterns.ts";
import { splitText } from "./split.ts";
import { characters } from "../text/unicode.ts";

/** Pieces → smaller pieces. `atStart`: the first of them begins where the whole input begins. */
type PreTokenize = (pieces: string[], atStart: boolean) => string[];

export interface PreTokenizer {
  readonly split: PreTokenize;
  /** The pieces stand for their bytes: `toByteCharacters` is left to do, which is cheaper once per word. */
  readonly isByteLevel: boolean;
}

const behaviorSchema = z.enum(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]);
const characterSchema = z.string().refine((text) => [...text].length === 1, "one character is needed");
const schemas = {
  Sequence: z.looseObject({ pretokenizers: z.array(z.unknown()) }),
  ByteLevel: z.looseObject({ add_prefix_space: z.boolean(), use_regex: z.boolean().default(true) }),
  Split: z.looseObject({
    pattern: z.union([z.object({ String: z.string() }), z.object({ Regex: z.string() })]),
    behavior: behaviorSchema,
    invert: z.boolean(),
  }),
  Digits: z.looseObject({ individual_digits: z.boolean() }),
  Punctuation: z.looseObject({ behavior: behaviorSchema.default("Isolated") }),
  CharDelimiterSplit: z.looseObject({ delimiter: characterSchema }),
  FixedLength: z.looseObject({ length: z.int().min(1).default(5) }),
  Metaspace: z.looseObject({
    replacement: characterSchema,
    add_prefix_space: z.boolean().nullish(),
    prepend_scheme: z.enum(["first", "never", "always"]).default("always"),
    split: z.boolean().nullish(),
  }),
};

const GPT2 = compilePattern({
  Regex: String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
});

/** Throws a `LoraFleetError` with code `invalid_model`, or a `z.ZodError` for fields of a different shape. */
export function createPreTokenizer(json: unknown): PreTokenizer {
  const steps = flatten(json).map(createStep);
  const last = steps.findLastIndex(({ isByteLevel }) => isByteLevel);
  const isByteLevel = last !== -1 && last === steps.length - 1;
  // In the middle of a sequence the bytes' characters are what the next one sees.
  const splits = steps.map(({ split, isByteLevel: hasBytes }, i): PreTokenize =>
    hasBytes && i !== steps.length - 1
      ? (pieces, atStart) => split(pieces, atStart).map(toByteCharacters)
      : split
  );
  return {
    split: (pieces, atStart) => splits.reduce((done, split) => split(done, atStart), pieces),
    isByteLevel,
  };
}

function flatten(json: unknown): unknown[] {
  const { type } = z.looseObject({ type: z.string() }).parse(json);
  return type === "Sequence" ? schemas.Sequence.parse(json).pretokenizers.flatMap(flatten) : [json];
}

function createStep(json: unknown): PreTokenizer {
  const { type } = z.looseObject({ type: z.string() }).parse(json);
  if (type === "ByteLevel") {
    return { split: createByteLevel(schemas.ByteLevel.parse(json)), isByteLevel: true };
  }
  return { split: createSplit(type, json), isByteLevel: false };
}

function createSplit(type: string, json: unknown): PreTokenize {
  const { whitespace, punctuation, numeric, word } = characters;
  if (type === "Split") {
    const { pattern, behavior, invert } = schemas.Split.parse(json);
    const compiled = compilePattern(pattern);
    return each((text) => splitText(text, compiled, behavior, invert));
  }
  if (type === "Digits") {
    const behavior = schemas.Digits.parse(json).individual_digits ? "Isolated" : "Contiguous";
    const digit = new RegExp(`[${numeric}]`, "gu");
    return each((text) => splitText(text, digit, behavior, false));
  }
  if (type === "Punctuation") {
    const { behavior } = schemas.Punctuation.parse(json);
    const mark = new RegExp(`[${punctuation}]`, "gu");
    return each((text) => splitText(text, mark, behavior, false));
  }
  if (type === "BertPreTokenizer") {
    return each(matches(`[${punctuation}]|(?:(?![${punctuation}])\\P{White_Space})+`));
  }
  if (type === "Whitespace") return each(matches(`[${word}]+|[^${word}${whitespace}]+`));
  if (type === "WhitespaceSplit") return each(matches("\\P{White_Space}+"));
  if (type === "CharDelimiterSplit") {
    const { delimiter } = schemas.CharDelimiterSplit.parse(json);
    return each((text) => text.split(delimiter).filter((piece) => piece !== ""));
  }
  if (type === "FixedLength") return each(matches(`[^]{1,${schemas.FixedLength.parse(json).length}}`));
  if (type === "Metaspace") return createMetaspace(schemas.Metaspace.parse(json));
  throw unsupported("pre_tokenizer", type);
}

function each(split: (text: string) => string[]): PreTokenize {
  return (pieces) => pieces.length === 1 ? split(pieces[0]!) : pieces.flatMap(split);
}

function matches(pattern: string): (text: string) => string[] {
  const compiled = new RegExp(pattern, "gu");
  return (text) => text.match(compiled) ?? [];
}

function createByteLevel(options: z.output<typeof schemas.ByteLevel>): PreTokenize {
  return each((text) => {
    const prefixed = options.add_prefix_space && !text.startsWith(" ") ? ` ${text}` : text;
    return options.use_regex ? splitText(prefixed, GPT2, "Isolated", false) : [prefixed];
  });
}

function createMetaspace(options: z.output<typeof schemas.Metaspace>): PreTokenize {
  const { replacement, split } = options;
  const scheme = options.add_prefix_space === false ? "never" : options.prepend_scheme;
  const escaped = RegExp.escape(replacement);
  const wordPattern = new RegExp(`${escaped}[^${escaped}]*|[^${escaped}]+`, "gu");
  return (pieces, atStart) =>
    pieces.flatMap((piece, index) => {
      const text = piece.replaceAll(" ", replacement);
      const prepends = scheme === "always" || (scheme === "first" && atStart && index === 0);
      const prefixed = prepends && !text.startsWith(replacement) ? replacement + text : text;
      return split === false ? [prefixed] : prefixed.match(wordPattern) ?? [];
    });
}
