/** OpenAI's result file: the metrics of each step as CSV. */
import type { JobStore } from "../stores/job_store.ts";
import { dropAfter, ROLLED_BACK_TO } from "./evaluations.ts";

export const METRICS_FILENAME = "step_metrics.csv";

/** OpenAI's columns, and the names of the metrics; what is not measured after a step stays empty, as it does there. */
const COLUMNS = {
  train_loss: "train_loss",
  train_accuracy: "train_mean_token_accuracy",
  valid_loss: "valid_loss",
  valid_mean_token_accuracy: "valid_mean_token_accuracy",
} as const;
const BATCH_SIZE = 1000;

/** The header, then one line for each committed step in order. */
export function* stepMetricsCsv(store: Pick<JobStore, "eventsSince">, jobId: string): Generator<string> {
  yield `step,${Object.keys(COLUMNS).join(",")}\n`;
  // A step is committed again after a rollback, perhaps with another outcome, or never again; it may be evaluated besides.
  const metrics = new Map<number, Record<string, unknown>>();
  for (let newest = 0;;) {
    const events = store.eventsSince(jobId, newest, BATCH_SIZE);
    if (events.length === 0) break;
    newest = events.at(-1)!.number;
    for (const { type, data } of events) {
      const kept = data?.[ROLLED_BACK_TO];
      if (typeof kept === "number") dropAfter(metrics, kept);
      const step = data?.["step"];
      if (type !== "metrics" || typeof step !== "number" || step === 0) continue;
      metrics.set(step, { ...metrics.get(step), ...measuredIn(data!) });
    }
  }
  for (const [step, measured] of [...metrics].sort(([a], [b]) => a - b)) {
    yield `${step},${Object.values(COLUMNS).map((name) => measured[name] ?? "").join(",")}\n`;
  }
}

function measuredIn(data: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(
    Object.values(COLUMNS).flatMap((name) => typeof data[name] === "number" ? [[name, data[name]]] : []),
  );
}
