/**
 * Whether each micro-batch is in the committed sums exactly once: from what the engines wrote down and what the workers reported, not
 * from the coordinator's ledger.
 */
import type { Line } from "./book_engine.ts";

/** A worker's word that it has computed a step's update in a round. */
export interface UpdateWord {
  readonly worker: string;
  readonly step: number;
  readonly term: number;
  readonly generation: number;
}

export interface Books {
  readonly stepCount: number;
  readonly microBatchCount: number;
  /** In no committed sum. */
  readonly lost: readonly number[];
  /** In more than one. */
  readonly doubled: readonly number[];
  /** In a committed sum, but of no such step. */
  readonly foreign: readonly number[];
}

/**
 * The round of a step that was committed is the last one that was reported, and who reported it took part in it.
 * @param expected the numbers of each step's micro-batches, by step
 */
export function checkBooks(
  lines: readonly Line[],
  words: readonly UpdateWord[],
  expected: ReadonlyMap<number, readonly number[]>,
): Books {
  const lost: number[] = [];
  const doubled: number[] = [];
  const foreign: number[] = [];
  let microBatchCount = 0;
  for (const [step, numbers] of expected) {
    const ofStep = words.filter((word) => word.step === step);
    const last = ofStep.toSorted((a, b) => a.term - b.term || a.generation - b.generation).at(-1);
    const isOfLast = ({ term, generation }: UpdateWord) =>
      term === last?.term && generation === last.generation;
    const members = new Set(ofStep.filter(isOfLast).map(({ worker }) => worker));
    const counts = new Map<number, number>();
    for (const worker of members) {
      const book = lines.findLast((line) =>
        line.type === "updated" && line.worker === worker && line.step === step
      );
      for (const number of book?.type === "updated" ? book.microBatches : []) {
        counts.set(number, (counts.get(number) ?? 0) + 1);
      }
    }
    for (const number of numbers) {
      const count = counts.get(number) ?? 0;
      if (count === 0) lost.push(number);
      if (count > 1) doubled.push(number);
      counts.delete(number);
    }
    foreign.push(...counts.keys());
    microBatchCount += numbers.length;
  }
  return { stepCount: expected.size, microBatchCount, lost, doubled, foreign };
}
