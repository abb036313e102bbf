/** A checkpoint of a job as OpenAI's object, and its files. */
import { z } from "@hono/zod-openapi";
import { checkpointModelName, type JobRecord } from "../../jobs/record/job.ts";
import type { CheckpointRecord } from "../../jobs/stores/job_store.ts";
import { seconds, timestamp } from "./list_view.ts";

export const checkpointSchema = z.object({
  object: z.literal("fine_tuning.job.checkpoint"),
  id: z.string(),
  created_at: timestamp,
  fine_tuned_model_checkpoint: z.string(),
  fine_tuning_job_id: z.string(),
  step_number: z.int(),
  metrics: z.object({ step: z.int(), train_loss: z.number().optional() }),
}).openapi("FineTuningJobCheckpoint");

export function checkpointView(
  checkpoint: CheckpointRecord,
  job: JobRecord,
): z.output<typeof checkpointSchema> {
  const { id, step, trainLoss } = checkpoint;
  return {
    object: "fine_tuning.job.checkpoint",
    id,
    created_at: seconds(checkpoint.createdAt),
    fine_tuned_model_checkpoint: checkpointModelName(job, step),
    fine_tuning_job_id: job.id,
    step_number: step,
    metrics: trainLoss === null ? { step } : { step, train_loss: trainLoss },
  };
}

export const artifactSchema = z.object({
  object: z.literal("artifact"),
  id: z.string().openapi({ description: "Same as name" }),
  name: z.string(),
  step: z.int(),
  bytes: z.int(),
  sha256: z.string(),
  url: z.string().openapi({ description: "Download path on this server" }),
}).openapi("Artifact");

export function artifactViews({ jobId, step, files }: CheckpointRecord): z.output<typeof artifactSchema>[] {
  return files.map(({ name, size, sha256 }) => {
    const url = `/v1/fine_tuning/jobs/${jobId}/artifacts/${name}?step=${step}`;
    return { object: "artifact", id: name, name, step, bytes: size, sha256, url };
  });
}
