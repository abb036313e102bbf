/** How far a merged model is from the model that was trained: both models' logits at every label of a dataset. */
import { IGNORE_INDEX } from "../../shared/data/packing/micro_batch.ts";
import type { Example } from "../../shared/data/packing/example.ts";
import { packRows, toMicroBatch } from "../../shared/data/packing/packing.ts";
import type { Drift } from "../../shared/protocol/messages_measure.ts";
import type { LanguageModel } from "../model/language_model.ts";
import type { WantedLogits } from "../model/layerwise.ts";

/** One row's logits [labels, vocabulary]. */
export interface RowLogits {
  readonly labels: Int32Array;
  readonly logits: Float32Array;
}

/** A gigabyte of logits. */
const MAX_LOGITS = 2 ** 28;

/** The rows from the first one on whose logits fit in memory; at least one. */
export function rowsForDrift(examples: readonly Example[], vocabSize: number): readonly Example[] {
  let logits = 0;
  const count = examples.findIndex(({ tokens }) => (logits += tokens.length * vocabSize) > MAX_LOGITS);
  return count === -1 ? examples : examples.slice(0, Math.max(1, count));
}

/** A row by itself, and its labels; null if it has none. */
export function wantedOf(
  example: Example,
  maxTokens: number,
): WantedLogits & Pick<RowLogits, "labels"> | null {
  const [row] = packRows([example], "bfd", maxTokens);
  const batch = toMicroBatch([row!]);
  const rows = Uint32Array.from(batch.labels.keys()).filter((t) => batch.labels[t] !== IGNORE_INDEX);
  return rows.length === 0 ? null : { batch, rows, labels: Int32Array.from(rows, (t) => batch.labels[t]!) };
}

/** Each row is computed by itself. */
export async function logitsOf(model: LanguageModel, examples: readonly Example[]): Promise<RowLogits[]> {
  const rows: RowLogits[] = [];
  for (const example of examples) {
    const wanted = wantedOf(example, model.maxTokens);
    if (wanted === null) continue;
    rows.push({ labels: wanted.labels, logits: await model.logitsAt(wanted.batch, wanted.rows) });
  }
  return rows;
}

/** Whether each label of a row is the most likely token. */
export function isExact({ labels, logits }: RowLogits): boolean {
  const size = logits.length / labels.length;
  return labels.every((label, t) => largestAt(logits.subarray(t * size, (t + 1) * size)) === label);
}

/** Both models' logits at one label. */
interface Pair {
  readonly label: number;
  readonly trained: Float32Array;
  readonly merged: Float32Array;
}

export function driftOf(trained: readonly RowLogits[], merged: readonly RowLogits[]): Drift {
  return driftOfRows(trained.map((row, index) => compareRow(row, merged[index]!)));
}

/** Both models at each label of a row. */
export function compareRow(trained: RowLogits, merged: RowLogits): readonly Comparison[] {
  return pairsOf(trained, merged).map(compare);
}

export function driftOfRows(rows: readonly (readonly Comparison[])[]): Drift {
  const pairs = rows.flat();
  const mean = (of: (pair: Comparison) => number) =>
    pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length;
  const shareOf = (isTrue: (pair: Comparison) => boolean) =>
    rows.filter((row) => row.every(isTrue)).length / rows.length;
  return {
    ...{ rows: rows.length, tokens: pairs.length },
    logit_mean_abs: mean(({ meanAbs }) => meanAbs),
    logit_max_abs: pairs.reduce((max, { maxAbs }) => Math.max(max, maxAbs), 0),
    kl_mean: mean(({ kl }) => kl),
    top1_agreement: mean(({ isSame }) => Number(isSame)),
    exact_match_trained: shareOf(({ isTrainedRight }) => isTrainedRight),
    exact_match_merged: shareOf(({ isMergedRight }) => isMergedRight),
    same_rows: shareOf(({ isSame }) => isSame),
  };
}

function pairsOf({ labels, logits }: RowLogits, other: RowLogits): Pair[] {
  const size = logits.length / labels.length;
  const at = (all: Float32Array, t: number) => all.subarray(t * size, (t + 1) * size);
  return Array.from(labels, (label, t) => ({ label, trained: at(logits, t), merged: at(other.logits, t) }));
}

export type Comparison = ReturnType<typeof compare>;

function compare({ label, trained, merged }: Pair) {
  let [sum, maxAbs] = [0, 0];
  for (let i = 0; i < trained.length; i++) {
    const difference = Math.abs(trained[i]! - merged[i]!);
    sum += difference;
    maxAbs = Math.max(maxAbs, difference);
  }
  const [best, bestOfMerged] = [largestAt(trained), largestAt(merged)];
  return {
    ...{ meanAbs: sum / trained.length, maxAbs, kl: divergence(trained, merged) },
    isSame: best === bestOfMerged,
    isTrainedRight: best === label,
    isMergedRight: bestOfMerged === label,
  };
}

/** Kullback-Leibler: Σ p·(log p − log q), with p from `a` and q from `b`. */
function divergence(a: Float32Array, b: Float32Array): number {
  const [totalA, totalB] = [logSumExp(a), logSumExp(b)];
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const logP = a[i]! - totalA;
    sum += Math.exp(logP) * (logP - (b[i]! - totalB));
  }
  return Math.max(0, sum);
}

function logSumExp(values: Float32Array): number {
  const largest = values[largestAt(values)]!;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}

function largestAt(values: Float32Array): number {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[at]!) at = i;
  return at;
}
