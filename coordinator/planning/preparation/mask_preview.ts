/** What is trained of a few rows, as text: a mask that covers everything, or nothing, shows itself before the job starts. */
import { z } from "zod";
import type { Example } from "../../../shared/data/packing/example.ts";
import type { Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";

const segmentSchema = z.strictObject({
  text: z.string(),
  trained: z.boolean(),
  /** How much each trained token counts in the loss; left out: 1. */
  weight: z.number().optional(),
});
type Segment = z.output<typeof segmentSchema>;

export const maskPreviewSchema = z.strictObject({
  /** The row's line in the training file, from 1. */
  line: z.int(),
  /** The row's text in order; `trained`: whether its tokens have a label. */
  segments: z.array(segmentSchema).readonly(),
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

function previewMask(example: Example, tokenizer: Pick<Tokenizer, "decode">): MaskPreview {
  const { tokens, lines = [] } = example;
  const shown = Math.min(tokens.length, MAX_TOKENS);
  const weightAt = labelWeights(example);
  const segments: Segment[] = [];
  for (let start = 0, end = 0; start < shown; start = end) {
    const weight = weightAt(start);
    do end++; while (end < shown && weightAt(end) === weight);
    const text = tokenizer.decode(tokens.subarray(start, end));
    segments.push({ text, trained: weight !== null, ...weight === null || weight === 1 ? {} : { weight } });
  }
  return { line: lines[0] ?? 0, segments, hidden_tokens: tokens.length - shown };
}

/** What a token counts in the loss; null: it is not trained. */
function labelWeights(
  { completionMask, weight = 1, weightSpans = [] }: Example,
): (at: number) => number | null {
  return (at) => {
    // The first token has nothing before it that could predict it.
    if (at === 0 || completionMask[at] !== 1) return null;
    return weight * (weightSpans.find(({ start, end }) => start <= at && at < end)?.weight ?? 1);
  };
}
