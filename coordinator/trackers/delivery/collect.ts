/** The next batch of a delivery, read from a job's stored events. */
import type { Clock } from "../../../shared/clock.ts";
import type { JobStore } from "../../jobs/stores/job_store.ts";
import { foldEvent, type Folding, type LoggingRule } from "./points.ts";
import type { Point } from "../run/tracker.ts";

/** Events read in one turn of the event loop. */
const PAGE_SIZE = 200;
/** Points of one batch: what a tracker that was away gets at a time. */
const MAX_POINTS = 500;

export interface Collected {
  readonly points: readonly Point[];
  /** The newest event that was read, and what it adds up to. */
  readonly event: number;
  readonly folding: Folding;
  /** Whether the store has no more events. */
  readonly isCaughtUp: boolean;
}

export async function collectPoints(
  store: Pick<JobStore, "eventsSince">,
  clock: Clock,
  jobId: string,
  from: { readonly event: number; readonly folding: Folding },
  rule: LoggingRule,
): Promise<Collected> {
  const points: Point[] = [];
  let { event, folding } = from;
  for (;;) {
    const page = store.eventsSince(jobId, event, PAGE_SIZE);
    for (const next of page) {
      const folded = foldEvent(folding, next, rule);
      folding = folded.folding;
      event = next.number;
      if (folded.point !== null) points.push(folded.point);
    }
    if (page.length < PAGE_SIZE) return { points, event, folding, isCaughtUp: true };
    if (points.length >= MAX_POINTS) return { points, event, folding, isCaughtUp: false };
    await clock.sleep(0);
  }
}
