/** A job's dataset on the hub, in the job's own words. */
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import type { HubDataset } from "./hub_dataset.ts";

/** Null for a job with an uploaded file. */
export function hubDatasetOf({ dataset: { path, name, split, revision } }: JobSpec): HubDataset | null {
  return path === undefined ? null : { path, name, split, revision };
}
