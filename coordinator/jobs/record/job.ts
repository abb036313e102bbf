/** A job as it is stored, and the names of the models that it makes. */
import { z } from "zod";
import { afterwardsSchema } from "../../job_request/afterwards.ts";
import { trackingSchema } from "../../job_request/tracking.ts";
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { auditCountsSchema, NO_AUDITS } from "../../../shared/protocol/messages_coordinator.ts";

export const jobStatusSchema = z.enum([
  "validating_files",
  "queued",
  "running",
  "paused",
  "succeeded",
  "failed",
  "cancelled",
]);
export type JobStatus = z.output<typeof jobStatusSchema>;

export const jobErrorSchema = z.strictObject({
  code: z.string(),
  message: z.string(),
  param: z.string().nullable(),
});
export type JobError = z.output<typeof jobErrorSchema>;

/** A micro-batch that was excluded from its step. */
const quarantinedSampleSchema = z.strictObject({
  step: z.int(),
  /** Position within the step. */
  microBatch: z.int(),
  /** Lines of the training file, from 1. */
  examples: z.array(z.int()),
  reason: z.string(),
  /** Ids of the workers that computed it. */
  workers: z.array(z.string()),
});
export type QuarantinedSample = z.output<typeof quarantinedSampleSchema>;

/** A job as it is stored. Times are milliseconds since the Unix epoch. */
export const jobRecordSchema = z.strictObject({
  id: z.string(),
  createdAt: z.number(),
  status: jobStatusSchema,
  spec: jobSpecSchema,
  /** The user's part of the fine-tuned model's name. */
  suffix: z.string().nullable(),
  metadata: z.record(z.string(), z.string()).nullable(),
  validationFile: z.string().nullable(),
  /** Null: no tracker. */
  tracking: trackingSchema.nullable().default(null),
  /** What follows its success; left out: nothing. */
  afterwards: afterwardsSchema.optional(),
  startedAt: z.number().nullable(),
  finishedAt: z.number().nullable(),
  estimatedFinishAt: z.number().nullable(),
  /** Null until the data is prepared. */
  totalSteps: z.int().nullable(),
  /** Of the base model's manifest, when training started; jobs of earlier versions have none. */
  modelHash: z.string().optional(),
  /** The newest committed step; 0 before the first. */
  step: z.int(),
  /** All tokens of committed steps, whether they count in the loss or not. */
  trainedTokens: z.int(),
  /** Of committed steps and of the current one. */
  quarantined: z.array(quarantinedSampleSchema).default([]),
  /** Of committed steps. */
  audits: auditCountsSchema.default(NO_AUDITS),
  /** The best evaluation of committed steps; null before the first. */
  best: z.strictObject({ step: z.int(), value: z.number() }).nullable().default(null),
  /** The training diverged and went on from this step (0: the beginning) with half the learning rate; null: it did not. */
  rollback: z.strictObject({
    step: z.int(),
    /** Of the training state; null for the beginning. */
    digest: z.string().nullable(),
  }).nullable().default(null),
  error: jobErrorSchema.nullable(),
  /** Ids of the step metrics, the adapter's files and the tokenizer's. */
  resultFiles: z.array(z.string()),
  fineTunedModel: z.string().nullable(),
  /** The step whose adapter is the result, if it is not the last of `totalSteps`. */
  resultStep: z.int().optional(),
  /** Deleted names of the result and of checkpoints. */
  deletedModels: z.array(z.string()).default([]),
  /** The id of the API key that submitted it; left out: a configured key, or none. */
  owner: z.string().optional(),
  /** Why it is paused, if nobody has asked for it; it is resumed when that is over. */
  pausedFor: z.literal("disk").optional(),
});
export type JobRecord = z.output<typeof jobRecordSchema>;

/** Whether the status is final. */
export function isFinished(status: JobStatus): status is "succeeded" | "failed" | "cancelled" {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}

/** A job at its creation. */
export function newJob(
  fields:
    & Pick<JobRecord, "id" | "createdAt" | "spec" | "suffix" | "metadata" | "validationFile">
    & Partial<Pick<JobRecord, "tracking" | "owner" | "afterwards">>,
): JobRecord {
  return {
    tracking: null,
    rollback: null,
    ...fields,
    status: "validating_files",
    startedAt: null,
    finishedAt: null,
    estimatedFinishAt: null,
    totalSteps: null,
    step: 0,
    trainedTokens: 0,
    quarantined: [],
    audits: NO_AUDITS,
    best: null,
    error: null,
    resultFiles: [],
    fineTunedModel: null,
    deletedModels: [],
  };
}

/** The step whose adapter is the job's result; null until the data is prepared. */
export function resultStepOf({ resultStep, totalSteps }: JobRecord): number | null {
  return resultStep ?? totalSteps;
}

/** The name of a job's result in OpenAI's form: `ft:<base model>:<suffix>:<job>`. */
export function fineTunedModelName(job: JobRecord): string {
  return ["ft", job.spec.model, suffixInName(job.suffix ?? ""), job.id].join(":");
}

/** The name of a checkpoint, in OpenAI's form. */
export function checkpointModelName(job: JobRecord, step: number): string {
  return `${fineTunedModelName(job)}:ckpt-step-${step}`;
}

/** Each run of characters that a part of the name cannot hold, such as a colon, becomes one hyphen. */
function suffixInName(suffix: string): string {
  return suffix.replaceAll(/[^\p{L}\p{M}\p{N}._-]+/gu, "-").replaceAll(/^-+|-+$/g, "");
}
