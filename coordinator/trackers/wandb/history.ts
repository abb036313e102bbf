/** The two files that a W&B run's stream fills: its history, a row for each point, and the newest value of each metric. */
import { rewriteNames } from "../run/rewrite_names.ts";
import type { Batch } from "../run/tracker.ts";
import { pythonJson, storable } from "./numbers.ts";

export type Summary = Readonly<Record<string, unknown>>;

export interface StreamPlace {
  /** Rows that were sent. */
  readonly rows: number;
  readonly summary: Summary;
}

/** The metric by which W&B draws all others, as transformers' callback defines it. */
export const STEP_METRIC = "train/global_step";

interface Stream {
  readonly content: readonly string[];
  readonly next: StreamPlace;
}

/** The rows of a batch, each with its number, so that a batch that is sent again takes the same place. */
export function historyOf(batch: Batch, place: StreamPlace, startedAt: number): Stream {
  let { rows, summary } = place;
  const content: string[] = [];
  for (const { step, at, values } of batch.points) {
    const named = Object.entries(rewriteNames(values)).map(([name, value]) => [name, storable(value)]);
    const row = {
      ...Object.fromEntries(named),
      [STEP_METRIC]: step,
      _timestamp: at / 1000,
      _runtime: (at - startedAt) / 1000,
      _step: rows++,
    };
    content.push(pythonJson(row));
    summary = { ...summary, ...row };
  }
  const { end } = batch;
  if (end !== null) {
    // Under their own names, and of the whole run: transformers' callback puts them into the summary alone.
    const whole = Object.entries(end.summary).map(([name, value]) => [name, storable(value)]);
    summary = { ...summary, ...Object.fromEntries(whole), _runtime: (end.at - startedAt) / 1000 };
  }
  const runtime = Number(summary["_runtime"] ?? 0);
  return { content, next: { rows, summary: { ...summary, _wandb: { runtime: Math.floor(runtime) } } } };
}
