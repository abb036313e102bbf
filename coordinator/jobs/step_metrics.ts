/** A job's result file as OpenAI gives it: the metrics of each step as CSV. */
import type { JobStore } from "./job_store.ts";

export const METRICS_FILENAME = "step_metrics.csv";

/** OpenAI's columns; what is not measured here stays empty, as it does there. */
const COLUMNS = ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"] as const;
const BATCH_SIZE = 1000;

/** One line for each step that has been committed, in the order of the steps, below the columns' names. */
export function* stepMetricsCsv(store: Pick<JobStore, "eventsSince">, jobId: string): Generator<string> {
  yield `${COLUMNS.join(",")}\n`;
  // After a rollback a step is committed again: its newest event counts.
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
