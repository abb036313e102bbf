/**
 * A job's life as a pure decision: (job, event, now) → (job, reason).
 *
 *     validating_files ──validated──▶ queued ──started──▶ running ──trained──▶ succeeded
 *                                       ▲                    │
 *                                       └coordinatorRestarted┘       from the first three: failed, cancelled, paused
 *
 *     paused ──resumed──▶ queued, or validating_files where the data was not prepared yet; also: cancelled
 */
import { z } from "zod";
import { counted } from "../../shared/counted.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { jobSpecSchema } from "../../shared/job/job_spec.ts";
import { type AuditCounts, auditCountsSchema, NO_AUDITS } from "../../shared/protocol/messages.ts";

/** Of a sample that is left out, in the sentence for the user. */
const MOST_LINES_NAMED = 20;

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

/** A micro-batch that was left out of its step. */
export const quarantinedSampleSchema = z.strictObject({
  step: z.int(),
  /** Position within the step. */
  microBatch: z.int(),
  /** Lines of the training file, from 1. */
  examples: z.array(z.int()),
  reason: z.string(),
  /** Who tried it. */
  workers: z.array(z.string()),
});
export type QuarantinedSample = z.output<typeof quarantinedSampleSchema>;

/** A job as it is stored. Times are milliseconds since the Unix epoch. */
export const jobRecordSchema = z.strictObject({
  id: z.string(),
  createdAt: z.number(),
  status: jobStatusSchema,
  spec: jobSpecSchema,
  /** Part of the fine-tuned model's name, as the user chose it. */
  suffix: z.string().nullable(),
  metadata: z.record(z.string(), z.string()).nullable(),
  validationFile: z.string().nullable(),
  startedAt: z.number().nullable(),
  finishedAt: z.number().nullable(),
  estimatedFinishAt: z.number().nullable(),
  /** Known once the data is prepared. */
  totalSteps: z.int().nullable(),
  /** The newest committed step; 0 before the first. */
  step: z.int(),
  /** All tokens that went through the model in committed steps. */
  trainedTokens: z.int(),
  /** Of committed steps, and of the one that is being done. */
  quarantined: z.array(quarantinedSampleSchema).default([]),
  /** Of committed steps. */
  audits: auditCountsSchema.default(NO_AUDITS),
  error: jobErrorSchema.nullable(),
  /** Ids of the files of the last checkpoint. */
  resultFiles: z.array(z.string()),
  fineTunedModel: z.string().nullable(),
  /** Names of the result and of checkpoints that a user has deleted. */
  deletedModels: z.array(z.string()).default([]),
});
export type JobRecord = z.output<typeof jobRecordSchema>;

/** What may happen to a job. */
export type JobTransition =
  | { readonly type: "validated"; readonly totalSteps: number }
  | { readonly type: "started" }
  /** The state after a later step is lost: it goes on from an earlier one. */
  | { readonly type: "rolledBack"; readonly step: number; readonly trainedTokens: number }
  | {
    readonly type: "stepCommitted";
    readonly step: number;
    readonly tokenCount: number;
    readonly remainingMs: number | null;
    /** Micro-batches that were left out of this step; none where it is left out. */
    readonly quarantined?: readonly QuarantinedSample[];
    /** Of all steps up to this one. */
    readonly audits?: AuditCounts;
  }
  | { readonly type: "sampleQuarantined"; readonly sample: QuarantinedSample }
  | { readonly type: "trained"; readonly resultFiles: readonly string[] }
  | { readonly type: "failed"; readonly error: JobError }
  | { readonly type: "cancelled" }
  | { readonly type: "paused" }
  | { readonly type: "resumed" }
  | { readonly type: "coordinatorRestarted" }
  /** Of the result or of a checkpoint. */
  | { readonly type: "modelDeleted"; readonly name: string };

export interface JobDecision {
  readonly job: JobRecord;
  /** One sentence for the job's events. */
  readonly reason: string;
}

const ALLOWED_FROM: Record<JobTransition["type"], readonly JobStatus[]> = {
  validated: ["validating_files"],
  started: ["queued"],
  rolledBack: ["running"],
  stepCommitted: ["running"],
  sampleQuarantined: ["running"],
  trained: ["running"],
  failed: ["validating_files", "queued", "running"],
  cancelled: ["validating_files", "queued", "running", "paused"],
  paused: ["validating_files", "queued", "running"],
  resumed: ["paused"],
  coordinatorRestarted: ["running"],
  modelDeleted: ["succeeded", "failed", "cancelled"],
};

/** Whether nothing can happen to the job any more. */
export function isFinished(status: JobStatus): status is "succeeded" | "failed" | "cancelled" {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}

/** A job as it begins. */
export function newJob(
  fields: Pick<JobRecord, "id" | "createdAt" | "spec" | "suffix" | "metadata" | "validationFile">,
): JobRecord {
  return {
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
    error: null,
    resultFiles: [],
    fineTunedModel: null,
    deletedModels: [],
  };
}

/** The name of a job's result, in the form that OpenAI's clients know: `ft:<base model>:<suffix>:<job>`. */
export function fineTunedModelName(job: JobRecord): string {
  return ["ft", job.spec.model, suffixInName(job.suffix ?? ""), job.id].join(":");
}

/** The name of a checkpoint, in OpenAI's form. */
export function checkpointModelName(job: JobRecord, step: number): string {
  return `${fineTunedModelName(job)}:ckpt-step-${step}`;
}

/** A suffix may hold what a name's part may not, such as a colon: each run of that becomes one hyphen. */
function suffixInName(suffix: string): string {
  return suffix.replaceAll(/[^\p{L}\p{M}\p{N}._-]+/gu, "-").replaceAll(/^-+|-+$/g, "");
}

/**
 * Applies a transition at `now` (milliseconds). Throws a `LoraFleetError` with code `conflict` where the job's status
 * does not allow it.
 */
export function decideJob(job: JobRecord, transition: JobTransition, now: number): JobDecision {
  if (!ALLOWED_FROM[transition.type].includes(job.status)) {
    const fitting = ALLOWED_FROM[transition.type].map((status) => quote(status)).join(" or ");
    throw new LoraFleetError(
      "conflict",
      `job ${quote(job.id)} is ${quote(job.status)}: only one that is ${fitting} can be ${transition.type}`,
      { param: "status" },
    );
  }
  const finished = { finishedAt: now, estimatedFinishAt: null };
  switch (transition.type) {
    case "validated":
      return {
        job: { ...job, status: "queued", totalSteps: transition.totalSteps },
        reason: `The data is prepared: ${counted(transition.totalSteps, "step")}. The job is queued.`,
      };
    case "started":
      return {
        job: { ...job, status: "running", startedAt: job.startedAt ?? now },
        reason: job.step === 0 ? "Training has started." : `Training goes on after step ${job.step}.`,
      };
    case "rolledBack":
      return {
        job: {
          ...job,
          step: transition.step,
          trainedTokens: transition.trainedTokens,
          quarantined: job.quarantined.filter(({ step }) => step <= transition.step),
          // The next commit tells those up to it; before the first there are none.
          audits: transition.step === 0 ? NO_AUDITS : job.audits,
        },
        reason: transition.step === 0
          ? "Training begins anew."
          : `Training goes on from the stored state of step ${transition.step}.`,
      };
    case "stepCommitted":
      return {
        job: {
          ...job,
          step: transition.step,
          trainedTokens: job.trainedTokens + transition.tokenCount,
          estimatedFinishAt: transition.remainingMs === null ? null : now + transition.remainingMs,
          quarantined: [
            ...job.quarantined.filter(({ step }) => step !== transition.step),
            ...transition.quarantined ?? [],
          ],
          audits: transition.audits ?? job.audits,
        },
        reason: `Step ${transition.step}/${job.totalSteps ?? "?"} is committed.`,
      };
    case "sampleQuarantined": {
      const { sample } = transition;
      const isOther = ({ step, microBatch }: QuarantinedSample) =>
        step !== sample.step || microBatch !== sample.microBatch;
      const what = job.spec.fleet.local_steps === null ? "Micro-batch" : "Inner loop";
      return {
        job: { ...job, quarantined: [...job.quarantined.filter(isOther), sample] },
        reason: `${what} ${sample.microBatch} of step ${sample.step} is left out ` +
          `(${linesInWords(sample.examples)} of the training file): ${sample.reason} on ` +
          `${sample.workers.join(", ")}.`,
      };
    }
    case "trained":
      return {
        job: {
          ...job,
          ...finished,
          status: "succeeded",
          resultFiles: [...transition.resultFiles],
          fineTunedModel: fineTunedModelName(job),
        },
        reason: `The job has succeeded: ${counted(job.step, "step")}, ${
          counted(job.trainedTokens, "token")
        }.`,
      };
    case "failed":
      return {
        job: { ...job, ...finished, status: "failed", error: transition.error },
        reason: `The job has failed: ${transition.error.message}`,
      };
    case "cancelled":
      return {
        job: { ...job, ...finished, status: "cancelled" },
        reason: `The job was cancelled while it was ${job.status}.`,
      };
    case "paused":
      return {
        job: { ...job, status: "paused", estimatedFinishAt: null },
        reason: `The job was paused while it was ${job.status}${afterStep(job)}.`,
      };
    case "resumed":
      return {
        job: { ...job, status: job.totalSteps === null ? "validating_files" : "queued" },
        reason: `The job is resumed${afterStep(job)}: it is ${
          job.totalSteps === null ? "validated" : "queued"
        } again.`,
      };
    case "coordinatorRestarted":
      return {
        job: {
          ...job,
          status: "queued",
          estimatedFinishAt: null,
        },
        reason: "The coordinator has restarted while the job was running: it is queued again.",
      };
    case "modelDeleted":
      return {
        job: { ...job, deletedModels: [...job.deletedModels, transition.name] },
        reason: `The model ${transition.name} was deleted.`,
      };
  }
}

function afterStep({ step }: JobRecord): string {
  return step === 0 ? "" : `, after step ${step}`;
}

/** An inner loop is made of thousands of lines: the job has them all, and a sentence the first ones. */
function linesInWords(lines: readonly number[]): string {
  const named = lines.slice(0, MOST_LINES_NAMED).join(", ");
  const more = lines.length - MOST_LINES_NAMED;
  return `${lines.length === 1 ? "line" : "lines"} ${named}${more > 0 ? ` and ${more} more` : ""}`;
}
