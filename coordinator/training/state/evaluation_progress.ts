/** How far an evaluation is: the results of its micro-batches, each taken once. Pure. */
import type { Evaluated } from "../../planning/evaluation/selection.ts";

/** Micro-batches on the queue or in work at a time: a large file of rows must not fill the broker. */
const WINDOW = 256;

/** Reports of a loss that is not finite which settle a micro-batch: one may be a worker's fault. */
const NON_FINITE_TRIES = 2;

interface EvaluatedMicroBatch {
  /** Null if it is not finite. */
  readonly lossSum: number | null;
  readonly labelCount: number;
  readonly correctCount: number;
}

export interface EvaluationProgress {
  readonly startedAt: number;
  /** When a result was last taken, or micro-batches were handed out again because none was. */
  readonly progressAt: number;
  /** By position; null if there is no result yet. */
  readonly results: readonly (EvaluatedMicroBatch | null)[];
  readonly resultCount: number;
  /** Positions below this one have been put on the queue. */
  readonly handedOut: number;
  /** How often micro-batches were put on the queue again; makes their message ids unique. */
  readonly requeues: number;
  /** How often the last ones were handed out again since the last result. */
  readonly hedges: number;
  /** How often nothing came back for long. */
  readonly stalls: number;
  readonly slowestMs: number | null;
  readonly workers: ReadonlySet<string>;
  /** Incarnations that cannot evaluate; they take no more of it. */
  readonly failed: ReadonlySet<string>;
  /** By position: reports of a loss that is not finite. */
  readonly nonFinite: ReadonlyMap<number, number>;
}

export function newProgress(microBatchCount: number, now: number): EvaluationProgress {
  return {
    ...{ startedAt: now, progressAt: now, results: new Array(microBatchCount).fill(null), resultCount: 0 },
    ...{ handedOut: Math.min(WINDOW, microBatchCount), requeues: 0, hedges: 0, stalls: 0, slowestMs: null },
    ...{ workers: new Set(), failed: new Set(), nonFinite: new Map() },
  };
}

/** Positions that were handed out and have no result. */
export function openPositions({ results, handedOut }: EvaluationProgress): number[] {
  return Array.from({ length: handedOut }, (_, index) => index).filter((index) => results[index] === null);
}

export function isDone({ results, resultCount }: EvaluationProgress): boolean {
  return resultCount === results.length;
}

interface Result extends EvaluatedMicroBatch {
  readonly worker: string;
  readonly index: number;
  readonly computeMs: number;
}

/** `again`: the loss is not finite, and one more computation tells whether the worker or the model is at fault. */
export function withResult(
  progress: EvaluationProgress,
  { worker, index, computeMs, ...result }: Result,
  now: number,
): { readonly progress: EvaluationProgress; readonly verdict: "taken" | "known" | "again" } {
  if (progress.results[index] !== null) return { progress, verdict: "known" };
  const tries = (progress.nonFinite.get(index) ?? 0) + 1;
  if (result.lossSum === null && tries < NON_FINITE_TRIES) {
    const nonFinite = new Map(progress.nonFinite).set(index, tries);
    return { progress: { ...progress, nonFinite }, verdict: "again" };
  }
  return {
    progress: {
      ...progress,
      results: progress.results.with(index, result),
      resultCount: progress.resultCount + 1,
      slowestMs: Math.max(progress.slowestMs ?? 0, computeMs),
      workers: new Set(progress.workers).add(worker),
      ...{ progressAt: now, hedges: 0, stalls: 0 },
    },
    verdict: "taken",
  };
}

/** Positions that may follow onto the queue now, once half of the window is free. */
export function nextPositions({ results, resultCount, handedOut }: EvaluationProgress): number[] {
  const open = handedOut - resultCount;
  if (open > WINDOW / 2 || handedOut === results.length) return [];
  const end = Math.min(results.length, resultCount + WINDOW);
  return Array.from({ length: end - handedOut }, (_, at) => handedOut + at);
}

/**
 * Of an evaluation that is done. Losses are added in f64 in the micro-batches' order, as those of a step are, and labels and hits
 * are whole numbers: the outcome depends on the micro-batches' results alone, not on who computed which of them, or when.
 */
export function totalOf(
  { results }: EvaluationProgress,
  step: number,
): Evaluated & { readonly labelCount: number } {
  let lossSum: number | null = 0;
  let [labelCount, correctCount] = [0, 0];
  for (const result of results) {
    lossSum = result!.lossSum === null || lossSum === null ? null : lossSum + result!.lossSum;
    labelCount += result!.labelCount;
    correctCount += result!.correctCount;
  }
  return {
    ...{ step, labelCount, accuracy: correctCount / labelCount },
    loss: lossSum === null ? null : lossSum / labelCount,
  };
}
