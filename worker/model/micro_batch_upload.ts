/** Uploads a micro-batch, together with the ranges and rows that the kernels derive from it. */
import { countLabels, IGNORE_INDEX, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { longRopeStart, ropeRow } from "../../shared/model/positions/long_rope.ts";
import { windowEnd, windowStart, windowWithin } from "../../shared/model/positions/sliding_window.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { Gpu } from "../device/gpu.ts";
import type { AttendedPairs, Workspace } from "./pass_context.ts";

/** The model's buffers and limits that a micro-batch needs. */
interface BatchTarget {
  readonly gpu: Gpu;
  readonly spec: TransformerSpec;
  readonly workspace: Workspace;
  readonly maxTokens: number;
  /** The highest position + 1. */
  readonly maxPositions: number;
}

/**
 * Fills the workspace's tokens, positions, ranges of keys and queries, and the head's rows and labels.
 * @returns the head's rows: tokens that have a label
 * @throws RangeError if the micro-batch exceeds the memory plan or the model: a GPU reads an index outside its table as
 * something else, or as nothing, without an error
 */
export function writeMicroBatch(model: BatchTarget, batch: MicroBatch): number {
  const { tokens, positions, segmentStarts } = batch;
  const { gpu, workspace, spec, maxTokens, maxPositions } = model;
  if (tokens.length > maxTokens) {
    throw new RangeError(
      `a micro-batch has ${tokens.length} tokens, the memory plan is made for ${maxTokens}`,
    );
  }
  assertBelow(tokens, spec.vocabSize, "token");
  assertBelow(positions, maxPositions, "position");
  const head = headOf(batch);
  assertBelow(head.labels, spec.vocabSize, "label");
  gpu.write(workspace.tokens, tokens);
  gpu.write(workspace.keyStarts, segmentStarts);
  gpu.write(workspace.keyEnds, Uint32Array.from(tokens, (_, t) => t + 1));
  const ends = documentEnds(segmentStarts);
  gpu.write(workspace.queryEnds, ends);
  const longStart = longRopeStart(spec, maxPositions);
  gpu.write(
    workspace.ropeRows,
    positions.map((position, t) => ropeRow(position, ends[t]! - segmentStarts[t]!, longStart)),
  );
  const window = windowWithin(spec, maxPositions);
  if (window !== null) {
    const { windowKeyStarts, windowQueryEnds } = workspace;
    gpu.write(windowKeyStarts!, segmentStarts.map((start, t) => windowStart(start, t + 1, window)));
    gpu.write(windowQueryEnds!, ends.map((end, t) => windowEnd(t, end, window)));
  }
  writeHead(model, head);
  return head.rows.length;
}

/**
 * @param starts the first key of each query's document
 * @param endOf the end of the keys that a query sees
 * @param window of windowed layers; null: none that shortens anything
 */
export function attendedPairs(
  starts: Uint32Array,
  endOf: (query: number) => number,
  window: number | null,
): AttendedPairs {
  let [whole, windowed] = [0, 0];
  starts.forEach((start, t) => {
    const end = endOf(t);
    whole += end - start;
    windowed += end - (window === null ? start : windowStart(start, end, window));
  });
  return { whole, windowed };
}

/** Fills the weights of the head's rows for a training pass, if the micro-batch has any. */
export function writeWeights({ gpu, workspace }: BatchTarget, batch: MicroBatch): void {
  const { weights } = batch;
  if (weights === undefined) return;
  gpu.write(workspace.bestLogit, Float32Array.from(headOf(batch).rows, (row) => weights[row]!));
}

/** Fills the head's rows and labels from the `from`-th on, without those after `to`. */
export function writeHeadBlock(model: BatchTarget, batch: MicroBatch, from: number, to: number): void {
  const { rows, labels } = headOf(batch);
  writeHead(model, { rows: rows.subarray(from, to), labels: labels.subarray(from, to) });
}

function writeHead({ gpu, workspace }: BatchTarget, { rows, labels }: ReturnType<typeof headOf>): void {
  gpu.write(workspace.headRows, rows);
  gpu.write(workspace.labels, labels);
}

/** The tokens that have a label, and their labels. */
function headOf(batch: MicroBatch): { rows: Uint32Array; labels: Uint32Array } {
  const rows = new Uint32Array(countLabels(batch));
  const labels = new Uint32Array(rows.length);
  let found = 0;
  batch.labels.forEach((label, t) => {
    if (label === IGNORE_INDEX) return;
    labels[found] = label;
    rows[found++] = t;
  });
  return { rows, labels };
}

/** The end of each token's document: only queries before it see the token. */
export function documentEnds(segmentStarts: Uint32Array): Uint32Array {
  const ends = new Uint32Array(segmentStarts.length);
  let end = segmentStarts.length;
  for (let t = segmentStarts.length - 1; t >= 0; t--) {
    ends[t] = end;
    if (segmentStarts[t] === t) end = t;
  }
  return ends;
}

function assertBelow(values: Uint32Array, end: number, what: string): void {
  const index = values.findIndex((value) => value >= end);
  if (index < 0) return;
  throw new RangeError(
    `${what} ${index} of a micro-batch is ${values[index]}, the model's end at ${end - 1}`,
  );
}
