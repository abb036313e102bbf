/** What the API shows of jobs, events, checkpoints, files and workers: OpenAI's objects, times in whole seconds. */
import { z } from "@hono/zod-openapi";
import {
  datasetSchema,
  fleetSchema,
  loraSchema,
  quantizationSchema,
  trainingSchema,
} from "../../shared/job/job_spec.ts";
import type { WorkerView } from "../fleet/fleet.ts";
import { checkpointModelName, jobErrorSchema, jobStatusSchema } from "../jobs/job.ts";
import type { JobRecord } from "../jobs/job.ts";
import { eventLevelSchema, eventTypeSchema } from "../jobs/job_store.ts";
import type { CheckpointRecord, FileRecord, JobEvent, Page } from "../jobs/job_store.ts";

export const timestamp = z.int().openapi({ description: "Seconds since the Unix epoch" });

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
    description: "A base model, or the earlier job's result that is trained on from",
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
  training_file: z.string(),
  validation_file: z.string().nullable(),
  result_files: z.array(z.string()).openapi({
    description: "Ids of files: step_metrics.csv first, then the adapter's and the tokenizer's",
  }),
  integrations: z.null(),
  seed: z.int(),
  metadata: z.record(z.string(), z.string()).nullable(),
  quarantined: z.array(z.object({
    step: z.int(),
    micro_batch: z.int().openapi({ description: "Position within the step, from 0" }),
    examples: z.array(z.int()).openapi({ description: "Lines of the training file, from 1" }),
    reason: z.string(),
    workers: z.array(z.string()).openapi({ description: "Who tried it" }),
  })).openapi({
    description: "Micro-batches (with fleet.local_steps: inner loops) that were left out of their step",
  }),
  audits: z.object({ passed: z.int(), failed: z.int(), skipped: z.int() }).openapi({
    description: "Of committed steps (fleet.audit_rate): the bits were the same, a worker was found wrong, " +
      "nobody could be asked or could tell",
  }),
  step: z.int().openapi({ description: "The newest committed step, 0 before the first" }),
  total_steps: z.int().nullable().openapi({
    description:
      "With fleet.local_steps these are outer steps; metrics events tell data_step and total_data_steps, too",
  }),
  lora: loraSchema,
  quantization: quantizationSchema,
  training: trainingSchema,
  dataset: datasetSchema,
  fleet: fleetSchema,
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
    integrations: null,
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
  };
}

export const eventSchema = z.object({
  object: z.literal("fine_tuning.job.event"),
  id: z.string().openapi({ description: "Grows with every event; also the id of a server-sent event" }),
  created_at: timestamp,
  level: eventLevelSchema,
  type: eventTypeSchema,
  message: z.string(),
  data: z.record(z.string(), z.unknown()).nullable().openapi({
    description: "Of a metrics event: step, total_steps, train_loss, learning_rate, grad_norm, " +
      "tokens_per_second, workers, eta_seconds, and more; with fleet.local_steps also inner_steps, data_step and " +
      "total_data_steps",
  }),
}).openapi("FineTuningJobEvent");

const EVENT_ID_PREFIX = "ftevent-";

export function eventView(event: JobEvent): z.output<typeof eventSchema> {
  const { level, type, message, data } = event;
  const id = `${EVENT_ID_PREFIX}${event.number}`;
  return {
    object: "fine_tuning.job.event",
    id,
    created_at: seconds(event.createdAt),
    level,
    type,
    message,
    data,
  };
}

/** The number in an event's id; null where it is not one. */
export function eventNumberOf(id: string): number | null {
  const match = /^ftevent-([0-9]{1,15})$/.exec(id);
  return match === null ? null : Number(match[1]);
}

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

export const fileSchema = z.object({
  object: z.literal("file"),
  id: z.string(),
  bytes: z.int(),
  created_at: timestamp,
  filename: z.string(),
  purpose: z.string(),
  status: z.literal("processed"),
  status_details: z.null(),
  expires_at: timestamp.nullable(),
  sha256: z.string(),
}).openapi("File");

export function fileView(file: FileRecord): z.output<typeof fileSchema> {
  const { id, filename, purpose, sha256 } = file;
  return {
    object: "file",
    id,
    bytes: file.size,
    created_at: seconds(file.createdAt),
    filename,
    purpose,
    status: "processed",
    status_details: null,
    expires_at: file.expiresAt === null ? null : seconds(file.expiresAt),
    sha256,
  };
}

export const modelSchema = z.object({
  object: z.literal("model"),
  id: z.string(),
  created: timestamp,
  owned_by: z.string(),
}).openapi("Model");

export const artifactSchema = z.object({
  object: z.literal("artifact"),
  id: z.string().openapi({ description: "Its name, once more" }),
  name: z.string(),
  step: z.int(),
  bytes: z.int(),
  sha256: z.string(),
  url: z.string().openapi({ description: "Where it is downloaded, relative to this server" }),
}).openapi("Artifact");

export const workerSchema = z.object({
  object: z.literal("worker"),
  id: z.string(),
  incarnation: z.string(),
  name: z.string(),
  gpu: z.string(),
  state: z.enum(["joining", "loading", "ready", "working", "draining", "lost"]),
  job_id: z.string().nullable(),
  joined_at: timestamp,
  last_heartbeat_at: timestamp,
  max_heartbeat_gap_ms: z.number(),
  micro_batches_done: z.int(),
  tokens_per_second: z.number(),
  gradient_bytes_sent: z.int(),
  reason: z.string().nullable(),
  strikes: z.array(z.string()).openapi({
    description: "What it was to blame for in the job that is trained",
  }),
  accusations: z.array(z.string()).openapi({
    description: "What it says about others in that job, and others about it, while nobody has confirmed it",
  }),
  quarantine: z.object({
    reason: z.string(),
    reasons: z.array(z.string()).openapi({ description: "One by one, oldest first" }),
    since: timestamp,
    job_id: z.string().openapi({ description: "The job in which it was found out" }),
    until: z.enum(["job_ends", "reinstated"]).openapi({
      description: "job_ends: it was to blame too often. reinstated: an audit has found its gradients wrong",
    }),
  }).nullable().openapi({ description: "Why it gets no work; null where it does" }),
}).openapi("Worker");

export function workerView(worker: WorkerView): z.output<typeof workerSchema> {
  const { id, incarnation, name, gpu, state, reason } = worker;
  return {
    object: "worker",
    id,
    incarnation,
    name,
    gpu,
    state,
    job_id: worker.jobId,
    joined_at: seconds(worker.joinedAt),
    last_heartbeat_at: seconds(worker.lastHeartbeatAt),
    max_heartbeat_gap_ms: worker.maxHeartbeatGapMs,
    micro_batches_done: worker.microBatchesDone,
    tokens_per_second: worker.tokensPerSecond,
    gradient_bytes_sent: worker.gradientBytesSent,
    reason,
    strikes: [...worker.strikes],
    accusations: [...worker.accusations],
    quarantine: quarantineView(worker.quarantine),
  };
}

function quarantineView(quarantine: WorkerView["quarantine"]): z.output<typeof workerSchema>["quarantine"] {
  if (quarantine === null) return null;
  const { reasons, since, jobId, until } = quarantine;
  return {
    reason: reasons.join("; "),
    reasons: [...reasons],
    since: seconds(since),
    job_id: jobId,
    until: until === "jobEnds" ? "job_ends" : until,
  };
}

/** OpenAI's list around a page. */
export function listSchema<T extends z.ZodType>(item: T) {
  return z.object({
    object: z.literal("list"),
    data: z.array(item),
    has_more: z.boolean(),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
  });
}

export function listView<T extends object>(data: T[], hasMore = false) {
  const idOf = (item: T | undefined) =>
    item !== undefined && "id" in item && typeof item.id === "string" ? item.id : null;
  return {
    object: "list" as const,
    data,
    has_more: hasMore,
    first_id: idOf(data[0]),
    last_id: idOf(data.at(-1)),
  };
}

/** A page of records as a list of what is shown of them. */
export function pageView<R, T extends object>(page: Page<R>, view: (record: R) => T) {
  return listView(page.items.map(view), page.hasMore);
}

/** OpenAI's times are whole seconds. */
export function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
