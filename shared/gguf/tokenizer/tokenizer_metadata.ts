/** The tokenizer in a GGUF file: its tokens with scores, merges and types, special ids, and the chat template. */
import { z } from "zod";
import { chooseTemplate } from "../../data/tokenizer/files/named_templates.ts";
import { readTokenizerJson, type TokenizerJson } from "../../data/tokenizer/files/tokenizer_files.ts";
import { loadTokenizer, type Tokenizer } from "../../data/tokenizer/tokenizer.ts";
import { LoraFleetError, quote } from "../../errors.ts";
import type { GgufMetadata, GgufValue } from "../format.ts";
import { preTokenizerName } from "./pre_tokenizer.ts";

/** llama_token_type. */
const TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const bpeSchema = z.looseObject({
  vocab: z.record(z.string(), z.int()),
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  unk_token: z.string().nullish(),
  byte_fallback: z.boolean().nullish(),
});
type Bpe = z.output<typeof bpeSchema>;

/**
 * @param vocabSize rows of the embeddings; ids without a token become unused ones
 * @throws LoraFleetError `invalid_model` for damaged files, `invalid_request` for a tokenizer that llama.cpp does not have
 */
export async function tokenizerMetadata(folder: string, vocabSize: number): Promise<GgufMetadata> {
  const [json, tokenizer] = [await readTokenizerJson(folder), await loadTokenizer(folder)];
  assertKnownTokenizer(json);
  const parsed = bpeSchema.safeParse(json.model);
  if (!parsed.success) throw unknownKind(json);
  const vocabulary = tokensOf(parsed.data, tokenizer, vocabSize);
  const model = parsed.data.byte_fallback === true
    ? sentencePiece(parsed.data, json, vocabulary)
    : byteLevel(parsed.data, json, vocabulary);
  return [...model, ...specials(tokenizer, parsed.data, vocabSize)].map((
    [key, value],
  ) => [`tokenizer.${key}`, value]);
}

/**
 * Needs no vocabulary.
 * @throws LoraFleetError `invalid_request` for a tokenizer that llama.cpp does not have
 */
export function assertKnownTokenizer(json: TokenizerJson): void {
  if (!["BPE", undefined].includes(json.model.type)) throw unknownKind(json);
  if (json.model["byte_fallback"] !== true) preTokenizerName(json);
}

function unknownKind({ model }: TokenizerJson): LoraFleetError {
  const message =
    `GGUF is not possible for this model: its tokenizer is ${quote(model.type)}; byte-level BPE and ` +
    `SentencePiece's BPE are`;
  return new LoraFleetError("invalid_request", message, { param: "kind" });
}

interface Vocabulary {
  readonly tokens: string[];
  readonly types: number[];
}

/** Some conversions of a SentencePiece model name the token in tokenizer_config.json alone. */
function unknownOf({ unk_token: own, byte_fallback: isSentencePiece }: Bpe, { specialTokens }: Tokenizer) {
  return own ?? (isSentencePiece === true ? specialTokens.unk : null);
}

function tokensOf(bpe: Bpe, tokenizer: Tokenizer, size: number): Vocabulary {
  const unknown = unknownOf(bpe, tokenizer);
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = tokens.map((): number => TYPES.unused);
  for (const [token, id] of Object.entries(bpe.vocab)) {
    if (id >= size) continue;
    tokens[id] = token;
    types[id] = token === unknown ? TYPES.unknown : TYPES.normal;
  }
  for (const { id, content, special } of tokenizer.addedTokens) {
    if (id >= size) continue;
    tokens[id] = content;
    if (types[id] !== TYPES.unknown) types[id] = special ? TYPES.control : TYPES.userDefined;
  }
  return { tokens, types };
}

const text = (value: string): GgufValue => ({ type: "string", value });

/** GPT-2's tokens, whose characters stand for bytes. */
function byteLevel({ merges }: Bpe, json: TokenizerJson, { tokens, types }: Vocabulary): GgufMetadata {
  const pairs = merges.map((merge) => typeof merge === "string" ? merge : merge.join(" "));
  return [
    ["ggml.model", text("gpt2")],
    ["ggml.pre", text(preTokenizerName(json))],
    ["ggml.tokens", { type: "strings", value: tokens }],
    ["ggml.token_type", { type: "i32s", value: types }],
    ["ggml.merges", { type: "strings", value: pairs }],
  ];
}

/**
 * SentencePiece's tokens with ▁ for spaces. llama.cpp merges the pair whose result has the highest score, so that the rank of a
 * token's first merge, negated, gives the same tokens as the list of merges.
 */
function sentencePiece({ merges }: Bpe, json: TokenizerJson, { tokens, types }: Vocabulary): GgufMetadata {
  const ranks = new Map<string, number>();
  for (const merge of merges) {
    const made = typeof merge === "string" ? merge.replace(" ", "") : merge.join("");
    if (!ranks.has(made)) ranks.set(made, ranks.size);
  }
  const ownTypes = types.map((type, id) => ownType(type, tokens[id]!));
  const scores = tokens.map((token, id) => (
    ownTypes[id] === TYPES.normal ? -(ranks.get(token) ?? ranks.size + id) : 0
  ));
  return [
    ["ggml.model", text("llama")],
    ["ggml.pre", text("default")],
    ["ggml.tokens", { type: "strings", value: tokens.map((token, id) => ownText(token, ownTypes[id]!)) }],
    ["ggml.scores", { type: "f32s", value: scores }],
    ["ggml.token_type", { type: "i32s", value: ownTypes }],
    ["ggml.add_space_prefix", { type: "bool", value: prependsSpace(json) }],
  ];
}

/** Some files mark tokens as plain that stand for no text (`does_token_look_special` of llama.cpp's conversion/base.py). */
const LOOKS_SPECIAL = /^(<pad>|<mask>|<2mass>|\[@BOS@\]|<\|.*\|>|<｜.*｜>|<unused.*>)$/s;
const BYTE = /^<0x[0-9A-F]{2}>$/;

function ownType(type: number, token: string): number {
  if (type === TYPES.normal) return BYTE.test(token) ? TYPES.byte : type;
  return type === TYPES.userDefined && LOOKS_SPECIAL.test(token) ? TYPES.control : type;
}

/** llama.cpp looks for added tokens in the text as it is, before its spaces become ▁. */
function ownText(token: string, type: number): string {
  return type === TYPES.userDefined ? token.replaceAll("▁", " ") : token;
}

/** Old files prepend ▁ when they normalise, newer ones when they cut into words. */
function prependsSpace({ normalizer, pre_tokenizer }: TokenizerJson): boolean {
  const written = JSON.stringify([normalizer, pre_tokenizer]);
  return written.includes('"Prepend"') || /"prepend_scheme":"(first|always)"/.test(written);
}

function specials(tokenizer: Tokenizer, bpe: Bpe, vocabSize: number): GgufMetadata {
  const unknown = unknownOf(bpe, tokenizer);
  const around = tokenizer.encode("a");
  const plain = tokenizer.encode("a", { addSpecialTokens: false });
  const ids: readonly (readonly [name: string, id: number | null | undefined])[] = [
    ["bos", tokenizer.bosTokenId],
    ["eos", tokenizer.eosTokenIds[0]],
    ["unknown", unknown === null ? null : bpe.vocab[unknown]],
    ["padding", tokenizer.padTokenId],
  ];
  const template = chooseTemplate(tokenizer.chatTemplate, false);
  const flag = (value: boolean): GgufValue => ({ type: "bool", value });
  return [
    ...ids.flatMap(([name, id]) =>
      typeof id === "number" && id < vocabSize
        ? [[`ggml.${name}_token_id`, { type: "u32", value: id } as GgufValue] as const]
        : []
    ),
    ["ggml.add_bos_token", flag(around[0] !== plain[0] && around[0] === tokenizer.bosTokenId)],
    [
      "ggml.add_eos_token",
      flag(around.length > plain.length && tokenizer.eosTokenIds.includes(around.at(-1)!)),
    ],
    ...template === null ? [] : [["chat_template", text(template)] as const],
  ];
}
