/** Downloads as events of a job. */
import type { Clock } from "../../shared/clock.ts";
import type { HubProgress } from "../../shared/hub/download_repo.ts";
import { paceProgress } from "../../shared/hub/progress.ts";

/** Between two events. */
const EVERY_MS = 15_000;

/**
 * Progress as few sentences: the size, then how far it is, then the end.
 * @param what is downloaded: a hub id
 */
export function downloadEvents(
  clock: Pick<Clock, "now">,
  what: string,
  report: (message: string, data: Record<string, unknown>) => void,
): (progress: HubProgress) => void {
  return paceProgress({ clock, everyMs: EVERY_MS, what, report });
}
