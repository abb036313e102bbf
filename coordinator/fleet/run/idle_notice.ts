/** Tells once how many workers a step has no work for, and again when a larger fleet has more of them. */
import { idleWarning } from "../../planning/schedule/busy_workers.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";

/** The warning that an attempt with so many members calls for; null if there is none, or it was told. */
export type IdleNotice = (memberCount: number) => string | null;

export function createIdleNotice({ spec }: Pick<PlannedJob, "spec">): IdleNotice {
  let told = 0;
  return (memberCount) => {
    if (memberCount <= told) return null;
    told = memberCount;
    return idleWarning(spec, memberCount);
  };
}
