/** A job store that cleans the texts of everything it stores: users read the errors and events of jobs. */
import type { JobRecord } from "../record/job.ts";
import type { JobStore, NewJobEvent } from "./job_store.ts";

/** The same store; `clean` rewrites each message before it is stored. */
export function cleanTexts(store: JobStore, clean: (text: string) => string): JobStore {
  const cleanEvent = (event: NewJobEvent): NewJobEvent => ({ ...event, message: clean(event.message) });
  const cleanJob = (job: JobRecord): JobRecord =>
    job.error === null ? job : { ...job, error: { ...job.error, message: clean(job.error.message) } };
  return {
    ...store,
    putJob: (job, events, request) => store.putJob(cleanJob(job), events.map(cleanEvent), request),
    appendEvents: (events) => store.appendEvents(events.map(cleanEvent)),
  };
}
