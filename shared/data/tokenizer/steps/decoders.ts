/** tokenizer.json's `decoder`: tokens back to text, as the Rust library puts them together. */
import { z } from "zod";
import { CHARACTER_BYTES } from "../text/bytes.ts";
import { unsupported } from "../files/json.ts";
import { compilePattern } from "./patterns.ts";

type Decode = (tokens: readonly string[]) => readonly string[];

const schemas = {
  Sequence: z.looseObject({ decoders: z.array(z.unknown()) }),
  WordPiece: z.looseObject({ prefix: z.string(), cleanup: z.boolean() }),
  Metaspace: z.looseObject({
    replacement: z.string().min(1),
    add_prefix_space: z.boolean().nullish(),
    prepend_scheme: z.enum(["first", "never", "always"]).default("always"),
  }),
  BPEDecoder: z.looseObject({ suffix: z.string().min(1) }),
  CTC: z.looseObject({ pad_token: z.string(), word_delimiter_token: z.string(), cleanup: z.boolean() }),
  Replace: z.looseObject({
    pattern: z.union([z.object({ String: z.string() }), z.object({ Regex: z.string() })]),
    content: z.string(),
  }),
  Strip: z.looseObject({ content: z.string(), start: z.int().min(0), stop: z.int().min(0) }),
};

/** Throws a `LoraFleetError` with code `invalid_model`, or a `z.ZodError` for fields of a different shape. */
export function createDecoder(json: unknown): Decode {
  const { type } = z.looseObject({ type: z.string() }).parse(json);
  if (type === "Sequence") {
    const steps = schemas.Sequence.parse(json).decoders.map(createDecoder);
    return (tokens) => steps.reduce((texts, step) => step(texts), tokens);
  }
  if (type === "ByteLevel") return createByteLevel();
  if (type === "ByteFallback") return decodeByteFallback;
  if (type === "Fuse") return (tokens) => [tokens.join("")];
  if (type === "WordPiece") {
    const { prefix, cleanup } = schemas.WordPiece.parse(json);
    return (tokens) =>
      tokens.map((token, i) => {
        const text = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
        return cleanup ? cleanUpWordPiece(text) : text;
      });
  }
  if (type === "Metaspace") {
    const { replacement, add_prefix_space, prepend_scheme } = schemas.Metaspace.parse(json);
    const drops = prepend_scheme !== "never" && add_prefix_space !== false;
    return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 && drops ? "" : " "));
  }
  if (type === "BPEDecoder") {
    const { suffix } = schemas.BPEDecoder.parse(json);
    return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "));
  }
  if (type === "CTC") return createCtc(schemas.CTC.parse(json));
  if (type === "Replace") {
    const { pattern, content } = schemas.Replace.parse(json);
    const compiled = compilePattern(pattern);
    return (tokens) => tokens.map((token) => token.replace(compiled, () => content));
  }
  if (type === "Strip") return createStrip(schemas.Strip.parse(json));
  throw unsupported("decoder", type);
}

const encoder = new TextEncoder();
const lossyDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function createByteLevel(): Decode {
  /** Turns are found by decoding the same few tokens again and again; a vocabulary is bounded. */
  const known = new Map<string, Uint8Array>();
  const bytesOf = (token: string): Uint8Array => {
    let bytes = known.get(token);
    if (bytes === undefined) known.set(token, bytes = readByteLevel(token));
    return bytes;
  };
  return (tokens) => {
    const parts = tokens.map(bytesOf);
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return [lossyDecoder.decode(bytes)];
  };
}

function readByteLevel(token: string): Uint8Array {
  const bytes = [...token].map((character) => CHARACTER_BYTES.get(character));
  // An added token's text need not be of such characters.
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : encoder.encode(token);
}

/** Bytes in a row that are no UTF-8 become as many replacement characters as there are bytes. */
function decodeByteFallback(tokens: readonly string[]): readonly string[] {
  const texts: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      texts.push(strictDecoder.decode(Uint8Array.from(bytes)));
    } catch {
      texts.push(...bytes.map(() => "\ufffd"));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9a-fA-F]{2}|\+[0-9a-fA-F])>$/.exec(token);
    if (byte !== null) {
      bytes.push(parseInt(byte[1]!, 16));
      continue;
    }
    flush();
    texts.push(token);
  }
  flush();
  return texts;
}

function createCtc(options: z.output<typeof schemas.CTC>): Decode {
  return (tokens) =>
    tokens.filter((token, i) => token !== tokens[i - 1])
      .map((token) => {
        const text = options.pad_token === "" ? token : token.replaceAll(options.pad_token, "");
        return options.cleanup ? cleanUpWordPiece(text).replaceAll(options.word_delimiter_token, " ") : text;
      })
      .filter((text) => text !== "");
}

function createStrip({ content, start, stop }: z.output<typeof schemas.Strip>): Decode {
  return (tokens) =>
    tokens.map((token) => {
      const characters = [...token];
      let from = 0;
      while (from < Math.min(start, characters.length) && characters[from] === content) from++;
      let to = characters.length;
      for (let i = 0; i < stop && to > 0 && characters[to - 1] === content; i++) to--;
      return characters.slice(from, Math.max(from, to)).join("");
    });
}

/** The Rust library's. */
function cleanUpWordPiece(text: string): string {
  return text.replaceAll(" .", ".").replaceAll(" ?", "?").replaceAll(" !", "!").replaceAll(" ,", ",")
    .replaceAll(" ' ", "'").replaceAll(" n't", "n't").replaceAll(" 'm", "'m")
    .replaceAll(" do not", " don't").replaceAll(" 's", "'s").replaceAll(" 've", "'ve").replaceAll(
      " 're",
      "'re",
    );
}

/** transformers' own, for tokenizers with `clean_up_tokenization_spaces`. */
export function cleanUpSpaces(text: string): string {
  return text.replaceAll(" .", ".").replaceAll(" ?", "?").replaceAll(" !", "!").replaceAll(" ,", ",")
    .replaceAll(" ' ", "'").replaceAll(" n't", "n't").replaceAll(" 'm", "'m").replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve").replaceAll(" 're", "'re");
}
