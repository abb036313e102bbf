/** The losses of a job's first steps, as its events have them. */
import type { Clock } from "../../../shared/clock.ts";
import type { JobStore } from "../stores/job_store.ts";

const BATCH_SIZE = 1000;

/** In the order of the steps 1 … `until`; the newest event of a step counts, and steps without one are left out. */
export async function committedLosses(
  { store, clock }: { readonly store: Pick<JobStore, "eventsSince">; readonly clock: Pick<Clock, "sleep"> },
  jobId: string,
  until: number,
): Promise<number[]> {
  const losses = new Map<number, number>();
  for (let newest = 0;;) {
    const events = store.eventsSince(jobId, newest, BATCH_SIZE);
    if (events.length === 0) break;
    newest = events.at(-1)!.number;
    for (const { type, data } of events) {
      const [step, loss] = [data?.["step"], data?.["train_loss"]];
      if (type === "metrics" && typeof step === "number" && step <= until && typeof loss === "number") {
        losses.set(step, loss);
      }
    }
    await clock.sleep(0);
  }
  return [...losses].sort(([a], [b]) => a - b).map(([, loss]) => loss);
}
