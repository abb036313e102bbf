/** A checkpoint of a job as OpenAI's object, and its files. */
import { z } from "@hono/zod-openapi";
import { checkpointModelName, type JobRecord } from "../../jobs/record/job.ts";
import type { CheckpointRecord } from "../../jobs/stores/job_store.ts";
import { seconds, timestamp } from "./list_view.ts";

/** OpenAI's; those that are not measured are left out. */
const METRICS = [
  "train_loss",
  "train_mean_token_accuracy",
  "valid_loss",
  "valid_mean_token_accuracy",
  "full_valid_loss",
  "full_valid_mean_token_accuracy",
] as const;

export const checkpointSchema = z.object({
  object: z.literal("fine_tuning.job.checkpoint"),
  id: z.string(),
  created_at: timestamp,
  fine_tuned_model_checkpoint: z.string(),
  fine_tuning_job_id: z.string(),
  step_number: z.int(),
  metrics: z.object({
    step: z.int(),
    ...Object.fromEntries(METRICS.map((name) => [name, z.number().optional()])) as Record<
      typeof METRICS[number],
      z.ZodOptional<z.ZodNumber>
    >,
  }),
}).openapi("FineTuningJobCheckpoint");

export function checkpointView(
  checkpoint: CheckpointRecord,
  job: JobRecord,
): z.output<typeof checkpointSchema> {
  const { id, step } = checkpoint;
  return {
    object: "fine_tuning.job.checkpoint",
    id,
    created_at: seconds(checkpoint.createdAt),
    fine_tuned_model_checkpoint: checkpointModelName(job, step),
    fine_tuning_job_id: job.id,
    step_number: step,
    metrics: { step, ...metricsOf(checkpoint) },
  };
}

function metricsOf({ trainLoss, trainAccuracy, validLoss, validAccuracy }: CheckpointRecord) {
  // An evaluation is always one of all rows.
  const values = [trainLoss, trainAccuracy, validLoss, validAccuracy, validLoss, validAccuracy];
  return Object.fromEntries(METRICS.flatMap((name, at) => values[at] === null ? [] : [[name, values[at]!]]));
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
