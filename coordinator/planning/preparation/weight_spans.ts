/** The weight spans of many documents as one flat array: start, end, and the weight's bits in f32. */
import type { Example, WeightSpan } from "../../../shared/data/packing/example.ts";

/** Numbers of one span. */
export const SPAN_WORDS = 3;

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

export function floatBits(value: number): number {
  float[0] = value;
  return word[0]!;
}

export function floatOf(bits: number): number {
  word[0] = bits;
  return float[0]!;
}

interface FlatSpans {
  /** [3 · S] */
  readonly weightSpans: Uint32Array<ArrayBuffer>;
  /** Index of each document's first span, in spans, and their number [D + 1]. */
  readonly weightSpanStarts: Uint32Array<ArrayBuffer>;
}

/** Without fields if no document has a span. */
export function flattenSpans(documents: readonly Pick<Example, "weightSpans">[]): Partial<FlatSpans> {
  const starts = new Uint32Array(documents.length + 1);
  documents.forEach(({ weightSpans = [] }, at) => starts[at + 1] = starts[at]! + weightSpans.length);
  if (starts.at(-1) === 0) return {};
  const words = documents.flatMap(({ weightSpans = [] }) => weightSpans.flatMap(wordsOf));
  return { weightSpans: Uint32Array.from(words), weightSpanStarts: starts };
}

export function wordsOf({ start, end, weight }: WeightSpan): number[] {
  return [start, end, floatBits(weight)];
}

/** Back from the words of one document. */
export function spansAt(words: Uint32Array): Pick<Example, "weightSpans"> {
  if (words.length === 0) return {};
  const weightSpans = Array.from({ length: words.length / SPAN_WORDS }, (_, index): WeightSpan => {
    const [start, end, bits] = words.subarray(SPAN_WORDS * index);
    return { start: start!, end: end!, weight: floatOf(bits!) };
  });
  return { weightSpans };
}
