/** A training state as one run of 32-bit words for recovery: adapter, first moment, second moment. */
import type { TrainingState } from "../optimizer/adamw_state.ts";

export function stateWordCount(elementCount: number): number {
  return 3 * elementCount;
}

/** A copy of the bits of some of the state's words. */
export function readStateWords(state: TrainingState, offset: number, count: number): Int32Array {
  const words = new Int32Array(count);
  let start = 0;
  for (const part of [state.adapter, state.firstMoment, state.secondMoment]) {
    const first = Math.max(offset, start);
    const end = Math.min(offset + count, start + part.length);
    if (first < end) {
      const bits = new Int32Array(part.buffer, part.byteOffset + 4 * (first - start), end - first);
      words.set(bits, first - offset);
    }
    start += part.length;
  }
  return words;
}

/** The inverse; the state's arrays share the words' memory. */
export function stateOfWords(words: Int32Array<ArrayBuffer>, updateCount: number): TrainingState {
  const elementCount = words.length / 3;
  const part = (index: number) => new Float32Array(words.buffer, 4 * index * elementCount, elementCount);
  return { updateCount, adapter: part(0), firstMoment: part(1), secondMoment: part(2) };
}

export interface Piece {
  readonly offset: number;
  readonly count: number;
}

/** All words in pieces of at most `maxCount`. */
export function piecesOf(wordCount: number, maxCount: number): readonly Piece[] {
  return Array.from({ length: Math.ceil(wordCount / maxCount) }, (_, index) => ({
    offset: index * maxCount,
    count: Math.min(maxCount, wordCount - index * maxCount),
  }));
}
