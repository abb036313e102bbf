/**
 * A job store whose events are also lines for the person at the coordinator's terminal: jobs queued, started, done or failed,
 * workers that come and go, and steps at a pace that a person can read. What is stored holds no secrets: a worker's words about a
 * failed download may have the signed URL of a hub in them.
 */
import type { Clock } from "../../shared/clock.ts";
import { counted } from "../../shared/counted.ts";
import type { Log } from "../../shared/log.ts";
import { redactForms } from "../../shared/redact.ts";
import type { JobRecord } from "./job.ts";
import type { JobStore, NewJobEvent } from "./job_store.ts";

/** Steps are told this often, and the first and the last one of a job in any case. */
const STEP_INTERVAL_MS = 10_000;

export function logJobEvents(store: JobStore, clock: Pick<Clock, "now">, log: Log): JobStore {
  const isDue = createPace(clock);
  const tell = (events: readonly NewJobEvent[]) => {
    for (const event of events) {
      if (isDue(event)) log(event.level, `${event.jobId}: ${event.message}${detailsOf(event)}`);
    }
  };
  return {
    ...store,
    putJob(job, events) {
      const clean = events.map(withoutSecrets);
      const stored = store.putJob(withoutSecretsIn(job), clean);
      tell(clean);
      return stored;
    },
    appendEvents(events) {
      const clean = events.map(withoutSecrets);
      const stored = store.appendEvents(clean);
      tell(clean);
      return stored;
    },
  };
}

/** Whether an event is to be told: everything but most of the steps. */
function createPace(clock: Pick<Clock, "now">): (event: NewJobEvent) => boolean {
  let told: { readonly jobId: string; readonly at: number } | null = null;
  return ({ jobId, type, data }) => {
    if (type !== "metrics") return true;
    const isFirst = told?.jobId !== jobId;
    const isLast = data?.["step"] === data?.["total_steps"];
    const isLate = told !== null && clock.now() - told.at >= STEP_INTERVAL_MS;
    if (!isFirst && !isLast && !isLate) return false;
    told = { jobId, at: clock.now() };
    return true;
  };
}

/** Speed, workers and time left of a step. */
function detailsOf({ type, data }: NewJobEvent): string {
  if (type !== "metrics" || data === null) return "";
  const number = (name: string) => typeof data[name] === "number" ? Math.round(data[name]) : 0;
  const workers = counted(number("workers"), "worker");
  return `, ${number("tokens_per_second")} tokens/s with ${workers}, ${number("eta_seconds")} s left`;
}

function withoutSecrets(event: NewJobEvent): NewJobEvent {
  return { ...event, message: redactForms(event.message) };
}

function withoutSecretsIn(job: JobRecord): JobRecord {
  return job.error === null
    ? job
    : { ...job, error: { ...job.error, message: redactForms(job.error.message) } };
}
