/** A job as OpenAI's object, with lorafleet's groups of fields. */
import { z } from "@hono/zod-openapi";
import {
  datasetSchema,
  fleetSchema,
  loraSchema,
  quantizationSchema,
  trainingSchema,
} from "../../../shared/job/job_spec_schema.ts";
import { afterwardsSchema } from "../../job_request/afterwards.ts";
import { jobErrorSchema, type JobRecord, jobStatusSchema } from "../../jobs/record/job.ts";
import { seconds, timestamp } from "./list_view.ts";

const hyperparametersSchema = z.object({
  n_epochs: z.int().openapi({ description: "Rounded up; training.num_train_epochs may be a fraction" }),
  batch_size: z.int(),
  learning_rate_multiplier: z.number(),
});

export const jobSchema = z.object({
  object: z.literal("fine_tuning.job"),
  id: z.string(),
  created_at: timestamp,
  finished_at: timestamp.nullable(),
  estimated_finish: timestamp.nullable(),
  model: z.string().openapi({
    description: "A base model, or the earlier job's result that the job trains on from",
  }),
  fine_tuned_model: z.string().nullable(),
  organization_id: z.string(),
  status: jobStatusSchema,
  error: jobErrorSchema.nullable(),
  hyperparameters: hyperparametersSchema,
  method: z.object({
    type: z.literal("supervised"),
    supervised: z.object({ hyperparameters: hyperparametersSchema }),
  }),
  trained_tokens: z.int().nullable(),
  training_file: z.string().openapi({
    description: "The id of an uploaded file, or hf://datasets/org/name",
  }),
  validation_file: z.string().nullable(),
  result_files: z.array(z.string()).openapi({
    description: "Ids of files: step_metrics.csv first, then the adapter's and the tokenizer's",
  }),
  integrations: z.array(z.object({
    type: z.literal("wandb"),
    wandb: z.object({
      project: z.string(),
      name: z.string().nullable(),
      entity: z.string().nullable(),
      tags: z.array(z.string()),
    }),
  })).nullable(),
  report_to: z.array(z.string()).openapi({
    description: "The trackers that show this job (training.report_to)",
  }),
  seed: z.int(),
  metadata: z.record(z.string(), z.string()).nullable(),
  quarantined: z.array(z.object({
    step: z.int(),
    micro_batch: z.int().openapi({ description: "Position within the step, from 0" }),
    examples: z.array(z.int()).openapi({ description: "Lines of the training file, from 1" }),
    reason: z.string(),
    workers: z.array(z.string()).openapi({ description: "Ids of the workers that computed it" }),
  })).openapi({
    description: "Micro-batches (with fleet.local_steps: inner loops) that were excluded from their step",
  }),
  audits: z.object({ passed: z.int(), failed: z.int(), skipped: z.int() }).openapi({
    description:
      "Audits of committed steps (fleet.audit_rate): the bits were equal, a worker was wrong, or no worker could " +
      "recompute them",
  }),
  step: z.int().openapi({ description: "The newest committed step, 0 before the first" }),
  total_steps: z.int().nullable().openapi({
    description:
      "With fleet.local_steps, outer steps; metrics events also have data_step and total_data_steps",
  }),
  lora: loraSchema,
  quantization: quantizationSchema,
  training: trainingSchema,
  dataset: datasetSchema,
  fleet: fleetSchema,
  exports: afterwardsSchema.shape.exports.optional().openapi({
    description: "Exports that follow the job's success",
  }),
  push: afterwardsSchema.shape.push.unwrap().optional().openapi({
    description: "The push that follows the job's success (training.push_to_hub)",
  }),
  owner: z.string().optional().openapi({
    description: "The id of the API key that submitted it, if it was made here",
  }),
}).openapi("FineTuningJob");

/** The learning rate that a multiplier of 1 stands for: the default of `training.learning_rate`. */
const BASE_LEARNING_RATE = trainingSchema.parse({}).learning_rate;

export function jobView(job: JobRecord): z.output<typeof jobSchema> {
  const { spec } = job;
  const hyperparameters = {
    // OpenAI's type is a whole number; training.num_train_epochs has the fraction.
    n_epochs: Math.ceil(spec.training.num_train_epochs),
    batch_size: spec.training.per_device_train_batch_size * spec.training.gradient_accumulation_steps,
    learning_rate_multiplier: spec.training.learning_rate / BASE_LEARNING_RATE,
  };
  return {
    object: "fine_tuning.job",
    id: job.id,
    created_at: seconds(job.createdAt),
    finished_at: job.finishedAt === null ? null : seconds(job.finishedAt),
    estimated_finish: job.estimatedFinishAt === null ? null : seconds(job.estimatedFinishAt),
    model: spec.initial_adapter?.model ?? spec.model,
    fine_tuned_model: job.fineTunedModel,
    organization_id: "lorafleet",
    status: job.status,
    error: job.error,
    hyperparameters,
    method: { type: "supervised", supervised: { hyperparameters } },
    trained_tokens: job.startedAt === null ? null : job.trainedTokens,
    training_file: spec.training_file,
    validation_file: job.validationFile,
    result_files: job.resultFiles,
    integrations: integrationsOf(job),
    report_to: job.tracking?.reportTo ?? [],
    seed: spec.seed,
    metadata: job.metadata,
    quarantined: job.quarantined.map(({ microBatch, ...sample }) => ({ ...sample, micro_batch: microBatch })),
    audits: job.audits,
    step: job.step,
    total_steps: job.totalSteps,
    lora: spec.lora,
    quantization: spec.quantization,
    training: spec.training,
    dataset: spec.dataset,
    fleet: spec.fleet,
    ...afterwardsView(job),
    ...job.owner === undefined ? {} : { owner: job.owner },
  };
}

/** As the client wrote them. */
function integrationsOf({ tracking }: JobRecord): z.output<typeof jobSchema>["integrations"] {
  const wandb = tracking?.wandb ?? null;
  if (wandb === null || wandb.project === null) return null;
  return [{ type: "wandb", wandb: { ...wandb, project: wandb.project } }];
}

function afterwardsView({ afterwards }: JobRecord) {
  if (afterwards === undefined) return {};
  const { exports, push } = afterwards;
  return { ...exports.length === 0 ? {} : { exports }, ...push === null ? {} : { push } };
}
