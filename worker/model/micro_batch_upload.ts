/** Brings a micro-batch to the GPU, with what the kernels need to know of it beyond its own arrays. */
import { countLabels, IGNORE_INDEX, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { LanguageModel } from "./language_model.ts";

/**
 * Fills the workspace's tokens, positions, ranges of keys and queries, and the head's rows and labels.
 * @returns how many tokens count in the loss: the head's rows
 * @throws RangeError where the micro-batch exceeds the memory plan or the model: on the GPU an index outside its table would
 * read something else, or nothing, without a word
 */
export function writeMicroBatch(model: LanguageModel, batch: MicroBatch): number {
  const { tokens, positions, segmentStarts } = batch;
  const { gpu, workspace, spec, maxTokens, maxPositions } = model;
  if (tokens.length > maxTokens) {
    throw new RangeError(
      `a micro-batch of ${tokens.length} tokens, and the memory plan is made for ${maxTokens}`,
    );
  }
  assertBelow(tokens, spec.vocabSize, "token");
  assertBelow(positions, maxPositions, "position");
  const head = headOf(batch);
  assertBelow(head.labels, spec.vocabSize, "label");
  gpu.write(workspace.tokens, tokens);
  gpu.write(workspace.positions, positions);
  gpu.write(workspace.keyStarts, segmentStarts);
  gpu.write(workspace.keyEnds, Uint32Array.from(tokens, (_, t) => t + 1));
  gpu.write(workspace.queryEnds, documentEnds(segmentStarts));
  gpu.write(workspace.headRows, head.rows);
  gpu.write(workspace.labels, head.labels);
  return head.rows.length;
}

/** The tokens that count in the loss, and what each should predict. */
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

/** For each token the end of its document: the queries that see it come before. */
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
    `${what} ${index} of a micro-batch is ${values[index]}, and the model's end at ${end - 1}`,
  );
}
