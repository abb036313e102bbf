/** A training state as one line of 32-bit words, which is how a worker that recovers loads it: adapter, first moment, second. */
import type { TrainingState } from "../optimizer/adamw_state.ts";

/** Words of the whole state, where each of its arrays has `elementCount`. */
export function stateWordCount(elementCount: number): number {
  return 3 * elementCount;
}

/** The bits of some words of the state, as a copy. */
export function readStateWords(state: TrainingState, offset: number, count: number): Int32Array {
  const words = new Int32Array(count);
  let start = 0;
  for (const part of [state.adapter, state.firstMoment, state.secondMoment]) {
    const first = Math.max(offset, start);
    const end = Math.min(offset + count, start + part.length);
    if (first < end) {
      words.set(
        new Int32Array(part.buffer, part.byteOffset + 4 * (first - start), end - first),
        first - offset,
      );
    }
    start += part.length;
  }
  return words;
}

/** The state that all words together are; its arrays share their memory. */
export function stateOfWords(words: Int32Array<ArrayBuffer>, updateCount: number): TrainingState {
  const elementCount = words.length / 3;
  const part = (index: number) => new Float32Array(words.buffer, 4 * index * elementCount, elementCount);
  return { updateCount, adapter: part(0), firstMoment: part(1), secondMoment: part(2) };
}

/** A piece of the whole. */
export interface Piece {
  readonly index: number;
  readonly offset: number;
  readonly count: number;
}

/** The whole in pieces of at most `maxCount` words. */
export function piecesOf(wordCount: number, maxCount: number): readonly Piece[] {
  return Array.from({ length: Math.ceil(wordCount / maxCount) }, (_, index) => ({
    index,
    offset: index * maxCount,
    count: Math.min(maxCount, wordCount - index * maxCount),
  }));
}
