/** What a tracker learns of a job: its name and its hyperparameters under flat names. */
import type { JobRecord } from "../../jobs/record/job.ts";
import type { Tracking } from "../../job_request/tracking.ts";
import type { RunFacts } from "./tracker.ts";

export function runFacts(job: JobRecord, tracking: Tracking): RunFacts {
  const { id, spec, createdAt, startedAt, suffix, metadata, totalSteps } = job;
  const { initial_adapter: initial, ...fields } = spec;
  const config = {
    ...flatten(fields, ""),
    ...initial === undefined ? {} : { initial_adapter: initial.model },
    ...totalSteps === null ? {} : { total_steps: totalSteps },
    ...suffix === null ? {} : { suffix },
    ...flatten(metadata ?? {}, "metadata."),
    job_id: id,
  };
  return {
    jobId: id,
    name: tracking.runName ?? suffix ?? id,
    startedAt: startedAt ?? createdAt,
    config,
    tracking,
  };
}

function flatten(fields: object, prefix: string): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined).flatMap(([name, value]) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.entries(flatten(value, `${prefix}${name}.`))
        : [[`${prefix}${name}`, value] as const]
    ),
  );
}
