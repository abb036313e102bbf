/**
 * A job store that logs events for the operator: jobs queued, started, done or failed, workers that join and leave, and
 * steps at a readable pace. Secrets reach neither the log nor the store: a worker's report of a failed download may
 * quote a hub's signed URL.
 */
import type { Clock } from "../../../shared/clock.ts";
import { counted } from "../../../shared/counted.ts";
import type { Log } from "../../../shared/log.ts";
import { redactForms } from "../../../shared/redact.ts";
import { cleanTexts } from "./clean_texts.ts";
import type { JobStore, NewJobEvent } from "./job_store.ts";

/** Interval between logged steps; a job's first and last step are always logged. */
const STEP_INTERVAL_MS = 10_000;

export function logJobEvents(store: JobStore, clock: Pick<Clock, "now">, log: Log): JobStore {
  const isDue = createPace(clock);
  const logDue = (events: readonly NewJobEvent[]) => {
    for (const event of events) {
      if (!isDue(event)) continue;
      const { level, jobId, message, data } = event;
      const worker = data?.["worker"];
      const about = { job: jobId, ...typeof worker === "string" ? { worker } : {} };
      log(level, `${jobId}: ${message}${detailsOf(event)}`, about);
    }
  };
  const logged: JobStore = {
    ...store,
    putJob(job, events, request) {
      const stored = store.putJob(job, events, request);
      logDue(events);
      return stored;
    },
    appendEvents(events) {
      const stored = store.appendEvents(events);
      logDue(events);
      return stored;
    },
  };
  return cleanTexts(logged, redactForms);
}

/** Whether to log an event: all messages and evaluations, few of the steps. */
function createPace(clock: Pick<Clock, "now">): (event: NewJobEvent) => boolean {
  let logged: { readonly jobId: string; readonly at: number } | null = null;
  return ({ jobId, type, data }) => {
    if (type !== "metrics") return true;
    if (data?.["full_valid_mean_token_accuracy"] !== undefined) return true;
    const isFirst = logged?.jobId !== jobId;
    const isLast = data?.["step"] === data?.["total_steps"];
    const isLate = logged !== null && clock.now() - logged.at >= STEP_INTERVAL_MS;
    if (!isFirst && !isLast && !isLate) return false;
    logged = { jobId, at: clock.now() };
    return true;
  };
}

/** Speed, workers and remaining time of a step. */
function detailsOf({ type, data }: NewJobEvent): string {
  if (type !== "metrics" || data?.["tokens_per_second"] === undefined) return "";
  const number = (name: string) => typeof data[name] === "number" ? Math.round(data[name]) : 0;
  const workers = counted(number("workers"), "worker");
  return `, ${number("tokens_per_second")} tokens/s with ${workers}, ${number("eta_seconds")} s left`;
}
