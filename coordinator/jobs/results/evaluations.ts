/** The evaluations of a job, as its events have them. */
import type { Clock } from "../../../shared/clock.ts";
import type { Evaluated, EvaluationOutcome } from "../../planning/evaluation/selection.ts";
import type { JobEvent, JobStore } from "../stores/job_store.ts";

const BATCH_SIZE = 1000;

/** In the data of the event of a rollback: what was committed and evaluated after this step is void. */
export const ROLLED_BACK_TO = "rolled_back_to";

interface EvaluationEvent {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  /** Null for an evaluation before the first step. */
  readonly trainLoss: number | null;
}

/** Message and data of an evaluation's event, with OpenAI's names. Durations are seconds. */
export function evaluationEvent(
  { step, totalSteps, epoch, trainLoss }: EvaluationEvent,
  { loss, accuracy, labelCount, best, seconds, workerCount }: EvaluationOutcome,
) {
  const training = trainLoss === null ? "" : `training loss=${trainLoss.toFixed(4)}, `;
  const losses = loss === null ? {} : { valid_loss: loss, full_valid_loss: loss };
  return {
    type: "metrics",
    message:
      `Step ${step}/${totalSteps}: ${training}full validation loss=${loss?.toFixed(4) ?? "not finite"}, ` +
      `token accuracy=${(100 * accuracy).toFixed(1)}%`,
    data: {
      ...{ step, total_steps: totalSteps, epoch },
      ...trainLoss === null ? {} : { train_loss: trainLoss },
      ...losses,
      valid_mean_token_accuracy: accuracy,
      full_valid_mean_token_accuracy: accuracy,
      eval_tokens: labelCount,
      eval_seconds: seconds,
      workers: workerCount,
      ...best === null ? {} : { best_step: best.step, best_metric: best.value },
    },
  } as const;
}

/** What an event says about the outcome of an evaluation; null if nothing. */
export function evaluatedIn({ type, data }: Pick<JobEvent, "type" | "data">): Evaluated | null {
  if (type !== "metrics" || data === null) return null;
  const { step, full_valid_loss: loss, full_valid_mean_token_accuracy: accuracy } = data;
  if (typeof step !== "number" || typeof accuracy !== "number") return null;
  return { step, loss: typeof loss === "number" ? loss : null, accuracy };
}

/** Those on record, by step in order. Reads page by page, since a job may have millions of events. */
export async function storedEvaluations(
  { store, clock }: { readonly store: Pick<JobStore, "eventsSince">; readonly clock: Pick<Clock, "sleep"> },
  jobId: string,
): Promise<Evaluated[]> {
  const found = new Map<number, Evaluated>();
  for (let newest = 0;;) {
    const events = store.eventsSince(jobId, newest, BATCH_SIZE);
    if (events.length === 0) break;
    newest = events.at(-1)!.number;
    for (const event of events) {
      const kept = event.data?.[ROLLED_BACK_TO];
      if (typeof kept === "number") dropAfter(found, kept);
      const evaluated = evaluatedIn(event);
      if (evaluated !== null) found.set(evaluated.step, evaluated);
    }
    await clock.sleep(0);
  }
  return [...found.values()].sort((a, b) => a.step - b.step);
}

/** By step. */
export function dropAfter(found: Map<number, unknown>, kept: number): void {
  for (const step of [...found.keys()]) if (step > kept) found.delete(step);
}
