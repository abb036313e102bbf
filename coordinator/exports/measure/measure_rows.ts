/** The rows on which a merge is measured, as one micro-batch. */
import { LoraFleetError } from "../../../shared/errors.ts";
import { countExampleLabels, type Example } from "../../../shared/data/packing/example.ts";
import type { MicroBatch } from "../../../shared/data/packing/micro_batch.ts";
import { documentsIn, toMicroBatch } from "../../../shared/data/packing/packing.ts";
import type { MeasureTask } from "../../../shared/protocol/messages_measure.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";

/** Rows are minutes of a GPU for a large model; a worker may measure fewer (worker/evaluate/measure.ts). */
export const MAX_ROWS = 100;
const MAX_TOKENS = 2 ** 18;
/** Of the training data, whose rows are read step by step. */
const MAX_STEPS = 100;

interface ChosenRows extends Pick<MeasureTask, "rowsOf"> {
  readonly batch: MicroBatch;
  /** Null: they are not counted. */
  readonly available: number | null;
}

/**
 * Spread over the held-out rows, because these lie by their lengths; without any, of the first steps. Throws `invalid_dataset` if
 * none has a label.
 */
export function chooseRows({ evaluation = null, ...job }: PlannedJob): ChosenRows {
  const held = evaluation?.documents ?? { count: 0, at: () => NO_ROW };
  if (held.count > 0) {
    const count = Math.min(MAX_ROWS, held.count);
    const rows = Array.from({ length: count }, (_, i) => held.at(Math.floor(i * held.count / count)));
    return { rowsOf: "validation", batch: batchOf(rows), available: held.count };
  }
  const rows: Example[] = [];
  for (let step = 1; step <= Math.min(MAX_STEPS, job.totalSteps) && rows.length < MAX_ROWS; step++) {
    rows.push(...job.microBatchesOf(step).flatMap(documentsIn));
  }
  return { rowsOf: "training", batch: batchOf(rows.slice(0, MAX_ROWS)), available: null };
}

const NO_ROW: Example = { tokens: new Uint32Array(), completionMask: new Uint8Array() };

function batchOf(rows: readonly Example[]): MicroBatch {
  let tokens = 0;
  const documents = rows.filter((row) =>
    countExampleLabels(row) > 0 && (tokens += row.tokens.length) <= MAX_TOKENS
  );
  if (documents.length > 0) return toMicroBatch([{ documents }]);
  throw new LoraFleetError("invalid_dataset", "no row has a token to predict");
}
