/** A job's record for tests. */
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { type JobRecord, newJob } from "./job.ts";

const spec = jobSpecSchema.parse({ model: "m", training_file: "file-1" });

export function jobFixture(id: string, changes: Partial<JobRecord> = {}): JobRecord {
  return {
    ...newJob({ id, createdAt: 1000, spec, suffix: null, metadata: { a: "b" }, validationFile: null }),
    ...changes,
  };
}
