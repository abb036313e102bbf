/** What is trained of a few rows, as text: a mask that covers everything, or nothing, shows itself before the job starts. */
import { z } from "zod";
import type { Example } from "../../../shared/data/packing/example.ts";
import type { Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";

export const maskPreviewSchema = z.strictObject({
  /** The row's line in the training file, from 1. */
  line: z.int(),
  /** The row's text in order; `trained`: whether its tokens have a label. */
  segments: z.array(z.strictObject({ text: z.string(), trained: z.boolean() })).readonly(),
  /** Tokens behind the last segment that are not shown. */
  hidden_tokens: z.int(),
});
export type MaskPreview = z.output<typeof maskPreviewSchema>;

export const PREVIEWED_ROWS = 3;
/** A screen of text. */
const MAX_TOKENS = 600;

/** The first rows of a dataset. */
export function previewMasks(
  examples: readonly Example[],
  tokenizer: Pick<Tokenizer, "decode">,
): MaskPreview[] {
  return examples.slice(0, PREVIEWED_ROWS).map((example) => previewMask(example, tokenizer));
}

function previewMask(
  { tokens, completionMask, lines = [] }: Example,
  tokenizer: Pick<Tokenizer, "decode">,
): MaskPreview {
  const shown = Math.min(tokens.length, MAX_TOKENS);
  const segments: { text: string; trained: boolean }[] = [];
  for (let start = 0, end = 0; start < shown; start = end) {
    const trained = isTrained(completionMask, start);
    do end++; while (end < shown && isTrained(completionMask, end) === trained);
    segments.push({ text: tokenizer.decode(tokens.subarray(start, end)), trained });
  }
  return { line: lines[0] ?? 0, segments, hidden_tokens: tokens.length - shown };
}

/** The first token has nothing before it that could predict it. */
function isTrained(completionMask: Uint8Array, at: number): boolean {
  return at > 0 && completionMask[at] === 1;
}
