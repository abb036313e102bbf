/** Jobs by status, and the preparation of their data. */
import type { Clock } from "../../shared/clock.ts";
import type { JobStore } from "../jobs/stores/job_store.ts";
import { jobStatusSchema } from "../jobs/record/job.ts";
import type { Preparer } from "../planning/preparer.ts";
import type { Metrics } from "./registry.ts";

/** Seconds; a demo's rows take one, a gigabyte minutes. */
const PREPARATION_BUCKETS = [0.1, 0.5, 1, 5, 15, 60, 300, 1800];

export function addJobMetrics(metrics: Metrics, store: Pick<JobStore, "jobCounts">): void {
  metrics.gauge({ name: "jobs", help: "Jobs by status", labels: ["status"] }, (gauge) => {
    const counts = store.jobCounts();
    for (const status of jobStatusSchema.options) gauge.set({ status }, counts.get(status) ?? 0);
  });
}

/** The same preparer; its preparations are counted and timed. */
export function measuredPreparer(
  preparer: Preparer,
  metrics: Metrics,
  clock: Pick<Clock, "now">,
): Preparer {
  const running = metrics.gauge({ name: "preparations_running", help: "Jobs whose data are being prepared" });
  const durations = metrics.histogram({
    name: "preparation_duration_seconds",
    help: "Time to prepare a job's data, the search in the cache included",
    labels: ["outcome"],
  }, PREPARATION_BUCKETS);
  return {
    async prepare(request) {
      const startedAt = clock.now();
      running.inc();
      let outcome = "failed";
      try {
        const prepared = await preparer.prepare(request);
        outcome = "succeeded";
        return prepared;
      } catch (thrown) {
        if (request.signal.aborted) outcome = "interrupted";
        throw thrown;
      } finally {
        running.dec();
        durations.observe({ outcome }, (clock.now() - startedAt) / 1000);
      }
    },
    warm: (request) => preparer.warm(request),
    plan: (request) => preparer.plan(request),
  };
}
