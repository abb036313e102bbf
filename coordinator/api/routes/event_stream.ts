/** A job's events as server-sent events, from any event on, until the job has finished. */
import type { Clock } from "../../../shared/clock.ts";
import { isFinished } from "../../jobs/record/job.ts";
import type { JobService } from "../../jobs/job_service.ts";
import { eventView } from "../views/event_view.ts";
import type { ApiServices } from "./services.ts";

/** Proxies close connections that are silent for a minute or less. */
const KEEP_ALIVE_MS = 15_000;
const BATCH_SIZE = 100;

/**
 * Starts after the event with number `after`. Each event has `id:` and `data:` with its JSON; the last one is named `done` and
 * has the job's status, so that a client does not reconnect.
 */
export function openEventStream(
  jobId: string,
  after: number,
  { store, jobs, clock, stopping }: Pick<ApiServices, "store" | "jobs" | "clock" | "stopping">,
): ReadableStream<Uint8Array> {
  const closed = new AbortController();
  const signal = AbortSignal.any([closed.signal, stopping]);
  const encoder = new TextEncoder();
  let newest = after;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const send = (text: string) => controller.enqueue(encoder.encode(text));
      const end = () => {
        closed.abort();
        controller.close();
      };
      while (!signal.aborted) {
        const events = store.eventsSince(jobId, newest, BATCH_SIZE);
        if (events.length > 0) {
          newest = events.at(-1)!.number;
          const texts = events.map(eventView).map((view) =>
            `id: ${view.id}\ndata: ${JSON.stringify(view)}\n\n`
          );
          return send(texts.join(""));
        }
        const { status } = jobs.get(jobId);
        if (isFinished(status)) {
          send(`event: done\ndata: ${JSON.stringify({ status })}\n\n`);
          return end();
        }
        // Without an await between reading the store and watching, no change is missed.
        if (await nextChange(jobs, jobId, clock, signal) === "silence") return send(": still here\n\n");
      }
      end();
    },
    cancel() {
      closed.abort();
    },
  }, { highWaterMark: 0 });
}

async function nextChange(
  jobs: JobService,
  jobId: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<"change" | "silence"> {
  const settled = new AbortController();
  const changed = Promise.withResolvers<"change">();
  const unwatch = jobs.watch(jobId, () => changed.resolve("change"));
  const silence = clock.sleep(KEEP_ALIVE_MS, AbortSignal.any([signal, settled.signal]))
    .then(() => "silence" as const, () => "change" as const);
  try {
    return await Promise.race([changed.promise, silence]);
  } finally {
    settled.abort();
    unwatch();
  }
}
