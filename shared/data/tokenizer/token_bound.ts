/**
 * A lower bound of a text's tokens, from its bytes alone: no token is longer than the vocabulary's longest. A row of
 * megabytes is refused by it before a tokenizer has spent minutes on it.
 *
 * The bound must never be too high, since a row that fits would be refused. Whatever a tokenizer may drop or shorten before the
 * vocabulary sees it is taken off, and if this file does not know a part of its pipeline, there is no bound (0).
 */
import { z } from "zod";

/** Of a text; 0 if nothing is certain. */
export type TokenBound = (text: string) => number;

const NO_BOUND: TokenBound = () => 0;

/** What a step of the pipeline may do to a text's bytes. */
interface Loss {
  /** At most so many bytes become one. */
  readonly shrink: number;
  readonly dropsSpace: boolean;
}

/** All that any of the libraries takes for white space. */
// deno-lint-ignore no-control-regex -- what tokenizers count as white space
const SPACE = /[\s\u0085\u001c-\u001f]+/g;

const LOSSLESS: Loss = { shrink: 1, dropsSpace: false };
const DROPS_SPACE: Loss = { shrink: 1, dropsSpace: true };

const stepSchema = z.looseObject({ type: z.string() });
const vocabularySchema = z.record(z.string(), z.unknown());
const addedTokenSchema = z.looseObject({
  content: z.string(),
  lstrip: z.boolean().nullish(),
  rstrip: z.boolean().nullish(),
});
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedTokenSchema).nullish(),
  normalizer: stepSchema.nullish(),
  pre_tokenizer: stepSchema.nullish(),
  model: z.looseObject({
    vocab: vocabularySchema,
    type: z.string().nullish(),
    byte_fallback: z.boolean().nullish(),
  }),
});
type TokenizerJson = z.output<typeof tokenizerSchema>;
type Step = z.output<typeof stepSchema>;

export function createTokenBound(tokenizerJson: unknown): TokenBound {
  const parsed = tokenizerSchema.safeParse(tokenizerJson);
  if (!parsed.success) return NO_BOUND;
  const tokenizer = parsed.data;
  const normalizer = lossOf(tokenizer.normalizer, normalizerLoss);
  const preTokenizer = lossOf(tokenizer.pre_tokenizer, preTokenizerLoss);
  // A character that the vocabulary lacks becomes one unknown token with its neighbours, or nothing.
  if (normalizer === null || preTokenizer === null || !knowsEveryByte(tokenizer)) return NO_BOUND;
  const added = tokenizer.added_tokens ?? [];
  const strips = added.some(({ lstrip, rstrip }) => lstrip === true || rstrip === true);
  const dropsSpace = normalizer.dropsSpace || preTokenizer.dropsSpace || strips;
  const bytesOfToken = longestOf([
    ...Object.keys(tokenizer.model.vocab),
    ...added.map(({ content }) => content),
  ]);
  const bytesAToken = bytesOfToken * normalizer.shrink * preTokenizer.shrink;
  return (text) => Math.ceil(countBytes(dropsSpace ? text.replaceAll(SPACE, "") : text) / bytesAToken);
}

/** Of all steps together; null if one is not known. */
function lossOf(step: Step | null | undefined, ofOne: (step: Step) => Loss | null): Loss | null {
  if (step === null || step === undefined) return LOSSLESS;
  if (step.type !== "Sequence") return ofOne(step);
  const nested = z.array(stepSchema).safeParse(step["normalizers"] ?? step["pretokenizers"]);
  if (!nested.success) return null;
  let whole = LOSSLESS;
  for (const each of nested.data) {
    const loss = lossOf(each, ofOne);
    if (loss === null) return null;
    whole = { shrink: whole.shrink * loss.shrink, dropsSpace: whole.dropsSpace || loss.dropsSpace };
  }
  return whole;
}

/**
 * Composition: U+1FEF, U+212A and Hangul syllables become a third of their bytes (3 → 1, 9 → 3), nothing less; one more for
 * safety. Compatibility forms and lower case: 𝐀 (4 bytes) → A (1), with marks that compose beside it.
 */
function normalizerLoss(step: Step): Loss | null {
  if (step.type === "Prepend" || step.type === "ByteLevel") return LOSSLESS;
  if (step.type === "NFC" || step.type === "NFD" || step.type === "Lowercase") {
    return { shrink: 4, dropsSpace: false };
  }
  if (step.type === "NFKC" || step.type === "NFKD") return { shrink: 8, dropsSpace: false };
  if (step.type === "Strip") return DROPS_SPACE;
  if (step.type === "Replace") return replaceLoss(step);
  return null;
}

/** One text for another; what a pattern finds may be of any length. */
function replaceLoss(step: Step): Loss | null {
  const replace = z.object({ pattern: z.object({ String: z.string().min(1) }), content: z.string() })
    .safeParse(step);
  if (!replace.success) return null;
  const [from, to] = [countBytes(replace.data.pattern.String), countBytes(replace.data.content)];
  if (to === 0) return /^\s+$/.test(replace.data.pattern.String) ? DROPS_SPACE : null;
  return { shrink: Math.max(1, from / to), dropsSpace: false };
}

function preTokenizerLoss(step: Step): Loss | null {
  if (["ByteLevel", "Metaspace", "Digits", "Punctuation", "Split"].includes(step.type)) {
    return step["behavior"] === "Removed" ? null : LOSSLESS;
  }
  if (step.type === "Whitespace" || step.type === "WhitespaceSplit") return DROPS_SPACE;
  return null;
}

/** Whether each byte has a token, so that no text is lost as unknown. */
function knowsEveryByte({ model, normalizer, pre_tokenizer: preTokenizer }: TokenizerJson): boolean {
  const { vocab, byte_fallback: byteFallback, type } = model;
  // The library takes a model without a type that has merges for BPE.
  if (type !== "BPE" && !(type === null || type === undefined)) return false;
  if (byteFallback === true) {
    return BYTES.every((byte) =>
      Object.hasOwn(vocab, `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)
    );
  }
  const isByteLevel = [normalizer, preTokenizer].some((step) =>
    JSON.stringify(step ?? null).includes('"ByteLevel"')
  );
  return isByteLevel && BYTES.every((byte) => Object.hasOwn(vocab, byteLevelCharacter(byte)));
}

const BYTES = Array.from({ length: 256 }, (_, byte) => byte);

/** GPT-2's spelling of bytes: printable ones as themselves, the others from U+0100 on, in their order. */
function byteLevelCharacter(byte: number): string {
  const isPrintable = (value: number) =>
    (value >= 0x21 && value <= 0x7e) || (value >= 0xa1 && value <= 0xac) || value >= 0xae;
  if (isPrintable(byte)) return String.fromCharCode(byte);
  return String.fromCharCode(0x100 + BYTES.slice(0, byte).filter((value) => !isPrintable(value)).length);
}

/** Bytes of the longest: spelled byte by byte it has more of them than it stands for, never fewer. */
function longestOf(tokens: readonly string[]): number {
  let longest = 1;
  for (const token of tokens) {
    if (3 * token.length > longest) longest = Math.max(longest, countBytes(token));
  }
  return longest;
}

function countBytes(text: string): number {
  let bytes = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    // Each half of a pair counts for two of the four bytes.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 2 : 3;
  }
  return bytes;
}
