/** tokenizer.json's `normalizer` as a function of a text, as the Rust library applies it. */
import { z } from "zod";
import { toByteCharacters } from "../text/bytes.ts";
import { unsupported } from "../files/json.ts";
import { mapping, type Normalize, replaceAll } from "./normalize.ts";
import { compilePattern } from "./patterns.ts";
import { createPrecompiled } from "./precompiled.ts";
import { characters, normalize, toLowerCase } from "../text/unicode.ts";

const patternSchema = z.union([z.object({ String: z.string() }), z.object({ Regex: z.string() })]);
const schemas = {
  Sequence: z.looseObject({ normalizers: z.array(z.unknown()) }),
  BertNormalizer: z.looseObject({
    clean_text: z.boolean(),
    handle_chinese_chars: z.boolean(),
    strip_accents: z.boolean().nullish(),
    lowercase: z.boolean(),
  }),
  Strip: z.looseObject({ strip_left: z.boolean(), strip_right: z.boolean() }),
  Replace: z.looseObject({ pattern: patternSchema, content: z.string() }),
  Prepend: z.looseObject({ prepend: z.string() }),
  Precompiled: z.looseObject({ precompiled_charsmap: z.base64() }),
};

/** Throws a `LoraFleetError` with code `invalid_model`, or a `z.ZodError` for fields of a different shape. */
export function createNormalizer(json: unknown): Normalize {
  const { type } = z.looseObject({ type: z.string() }).parse(json);
  if (type === "Sequence") {
    const steps = schemas.Sequence.parse(json).normalizers.map(createNormalizer);
    return (text, start) => steps.reduce((done, step) => step(done, start), text);
  }
  if (type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD") {
    return mapping((text) => normalize(text, type));
  }
  if (type === "Lowercase") return mapping(toLowerCase);
  if (type === "StripAccents") return dropping(characters.combiningMarks);
  if (type === "Strip") return createStrip(schemas.Strip.parse(json));
  if (type === "Replace") return createReplace(schemas.Replace.parse(json));
  if (type === "Prepend") {
    const { prepend } = schemas.Prepend.parse(json);
    return (text, start) => {
      if (start.length > 0) start.length += prepend.length;
      return text === "" ? text : prepend + text;
    };
  }
  if (type === "Nmt") return createNmt();
  if (type === "BertNormalizer") return createBert(schemas.BertNormalizer.parse(json));
  if (type === "Precompiled") {
    return createPrecompiled(Uint8Array.fromBase64(schemas.Precompiled.parse(json).precompiled_charsmap));
  }
  if (type === "ByteLevel") return mapping(toByteCharacters);
  throw unsupported("normalizer", type);
}

function dropping(inClass: string): Normalize {
  const all = new RegExp(`[${inClass}]+`, "gu");
  return (text, start) => replaceAll(text, all, "", start);
}

function createStrip(options: z.output<typeof schemas.Strip>): Normalize {
  const leading = new RegExp(`^${characters.whitespace}+`, "gu");
  const trailing = new RegExp(`(?<!${characters.whitespace})${characters.whitespace}+$`, "gu");
  return (text, start) => {
    const left = options.strip_left ? replaceAll(text, leading, "", start) : text;
    return options.strip_right ? replaceAll(left, trailing, "", start) : left;
  };
}

function createReplace({ pattern, content }: z.output<typeof schemas.Replace>): Normalize {
  const compiled = compilePattern(pattern);
  // An empty text is never searched, not even by a pattern that matches nothing.
  return (text, start) => text === "" ? text : replaceAll(text, compiled, content, start);
}

/** SentencePiece's rules for neural machine translation. */
function createNmt(): Normalize {
  const drop = dropping("\\x01-\\x08\\x0b\\x0e-\\x1f\\x7f\\x8f\\x9f");
  const spaces = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;
  return (text, start) => drop(text, start).replace(spaces, " ");
}

function createBert(options: z.output<typeof schemas.BertNormalizer>): Normalize {
  const clean = dropping(characters.bertRemoved);
  const spaces = new RegExp(characters.whitespace, "gu");
  const chinese = new RegExp(`[${characters.chinese}]`, "gu");
  const withoutAccents = dropping(characters.bertAccents);
  const spaced = mapping((text) => text.replace(chinese, " $& "));
  const decomposed = mapping((text) => normalize(text, "NFD"));
  const lowered = mapping(toLowerCase);
  const stripsAccents = options.strip_accents ?? options.lowercase;
  return (text, start) => {
    if (options.clean_text) text = clean(text, start).replace(spaces, " ");
    if (options.handle_chinese_chars) text = spaced(text, start);
    if (stripsAccents) text = withoutAccents(decomposed(text, start), start);
    return options.lowercase ? lowered(text, start) : text;
  };
}
