/** OpenAI's result file: the metrics of each step as CSV. */
import type { JobStore } from "../stores/job_store.ts";

export const METRICS_FILENAME = "step_metrics.csv";

/** OpenAI's columns; metrics that are not measured stay empty, as they do there. */
const COLUMNS = ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"] as const;
const BATCH_SIZE = 1000;

/** The header, then one line for each committed step in order. */
export function* stepMetricsCsv(store: Pick<JobStore, "eventsSince">, jobId: string): Generator<string> {
  yield `${COLUMNS.join(",")}\n`;
  // A step is committed again after a rollback; its newest event counts.
  const losses = new Map<number, unknown>();
  for (let newest = 0;;) {
    const events = store.eventsSince(jobId, newest, BATCH_SIZE);
    if (events.length === 0) break;
    newest = events.at(-1)!.number;
    for (const { type, data } of events) {
      if (type === "metrics" && typeof data?.["step"] === "number") {
        losses.set(data["step"], data["train_loss"]);
      }
    }
  }
  for (const [step, loss] of [...losses].sort(([a], [b]) => a - b)) {
    yield `${step},${typeof loss === "number" ? loss : ""},,,\n`;
  }
}
