/** What the coordinator tells workers: two states that it repeats, and short answers to requests. */
import { z } from "zod";
import { incarnationSchema, jobIdSchema, sha256Schema, tokenSchema, workerIdSchema } from "./ids.ts";
import { fleetSchema, loraSchema } from "../job/job_spec_schema.ts";
import { floatsSchema } from "./messages_codec.ts";
import { committedSchema } from "./messages_worker.ts";
import { modelManifestSchema } from "../model/model_manifest.ts";

const count = z.int().min(0);

/** One member of the fleet. */
const memberSchema = z.strictObject({ worker: workerIdSchema, incarnation: incarnationSchema });
export type MemberRef = z.output<typeof memberSchema>;

/**
 * Which announcement of the fleet is newer: that of a later term, and within a term that of a larger generation. Terms grow with
 * each coordinator that leads at a broker, whatever its clock says.
 */
const fleetAge = { term: count, generation: count };

/** The answer to a hello. Announcements of a generation before this one do not know the worker yet. */
export const welcomeSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("welcome"), coordinatorId: tokenSchema, ...fleetAge }),
  z.strictObject({ type: z.literal("refused"), reason: z.string() }),
]);
export type Welcome = z.output<typeof welcomeSchema>;

/** What has to be equal on every worker of a job. */
const jobAnnouncementSchema = z.strictObject({
  jobId: jobIdSchema,
  /** Names this start of the training: state that belongs to another one is forgotten. */
  startId: tokenSchema,
  specHash: z.string().min(1),
  model: modelManifestSchema,
  /** Where the coordinator has the base model; of use where the worker sees the same disk. */
  modelFolder: z.string(),
  baseModelName: z.string(),
  /** Whether a checkpoint holds the training state besides the adapter. */
  savesState: z.boolean(),
  gradientCodec: fleetSchema.shape.gradient_codec.unwrap(),
  /**
   * The outer optimizer; null: each step is an update of AdamW's, and its work items are micro-batches, not
   * inner loops.
   */
  localSteps: z.strictObject({
    outerLearningRate: z.number().positive(),
    outerMomentum: z.number().min(0).lt(1),
  }).nullable(),
  engine: z.strictObject({
    lora: loraSchema,
    seed: count,
    doubleQuantization: z.boolean(),
    gradientCheckpointing: z.boolean(),
    maxTokensPerMicroBatch: z.int().positive(),
    maxPositions: z.int().positive(),
  }),
  optimizer: z.strictObject({
    beta1: z.number(),
    beta2: z.number(),
    epsilon: z.number(),
    weightDecay: z.number(),
    maxGradientNorm: z.number(),
  }),
});
export type JobAnnouncement = z.output<typeof jobAnnouncementSchema>;

/** Who is in the fleet and what there is to do. */
export const fleetStateSchema = z.strictObject({
  coordinatorId: tokenSchema,
  ...fleetAge,
  members: z.array(memberSchema),
  /** Null tells nothing about the job before: a coordinator that has restarted needs a while until it goes on. */
  job: jobAnnouncementSchema.nullable(),
});
export type FleetState = z.output<typeof fleetStateSchema>;

/** How a job ends. */
const jobEndSchema = z.enum(["done", "failed", "cancelled"]);
export type JobEnd = z.output<typeof jobEndSchema>;

const stepPhaseSchema = z.enum([
  "waiting",
  "compute",
  "reduce",
  "commit",
  "checkpoint",
  ...jobEndSchema.options,
]);
export type StepPhase = z.output<typeof stepPhaseSchema>;

/** Whether the job is over. */
export function isJobEnd(phase: StepPhase): phase is JobEnd {
  return jobEndSchema.safeParse(phase).success;
}

/** A micro-batch that one member is to compute, besides those of the queue: its rows are asked for. */
const assignmentSchema = z.strictObject({
  /** Never given twice by one coordinator's process. */
  id: count,
  /** Position within the step. */
  index: count,
  worker: workerIdSchema,
  /** `claim`: as one of the queue. `audit`: the digest of the gradient is reported, and nothing is added to the sums. */
  purpose: z.enum(["claim", "audit"]),
});
export type Assignment = z.output<typeof assignmentSchema>;

/** Audits of micro-batches by recomputation, as they have ended. */
export const auditCountsSchema = z.strictObject({
  passed: count,
  /** A worker was found wrong. */
  failed: count,
  /** Nobody with the same GPU was there, or nobody answered in time. */
  skipped: count,
});
export type AuditCounts = z.output<typeof auditCountsSchema>;
export const NO_AUDITS: AuditCounts = { passed: 0, failed: 0, skipped: 0 };

/** The whole state of a job's step: a worker compares it with its own and does what is missing (decision 0002). */
export const stepStateSchema = z.strictObject({
  jobId: jobIdSchema,
  startId: tokenSchema,
  /** Grows with every change within a term, so that an older state that comes late is recognised. */
  revision: count,
  /** The step that is being done, 1-based. */
  step: z.int().positive(),
  /**
   * Of the coordinator and its run of the job, growing: attempts of an earlier one, whose ledger is lost, are over, and so are its
   * states.
   */
  term: count,
  /** Grows within the step; 0 before its first attempt. Gradient sums are kept as long as it stays. */
  attempt: count,
  /** Grows within a term whenever the members change, over the attempts and steps: names the attempt's round. */
  generation: count,
  phase: stepPhaseSchema,
  /** Who takes part in the attempt now, sorted by worker id. */
  members: z.array(memberSchema),
  /** How large a part of the gradient each of them owns in the round, in proportion to the others. */
  weights: z.array(count),
  /** Who gives away the newest committed state: live workers, and the coordinator where it has stored it. */
  holders: z.array(workerIdSchema),
  /** Who gets no work, and needs no state. */
  quarantined: z.array(workerIdSchema),
  /** The newest commit; null before the initial adapter is agreed on. */
  committed: committedSchema.nullable(),
  microBatchCount: count,
  /** One for each LoRA tensor; null where nothing has set it. Null as a whole: this attempt only finds the maxima. */
  exponents: z.array(z.int().min(-126).max(126).nullable()).nullable(),
  /**
   * From phase `reduce` on: which member (its position) has each micro-batch in its sums; null for one that is excluded, and in
   * nobody's. Else empty.
   */
  ledger: z.array(count.nullable()),
  /** In phase `compute`. */
  assignments: z.array(assignmentSchema),
  /** From phase `reduce` on: tokens that count in the loss over all micro-batches. */
  labelCount: count,
  learningRate: z.number().min(0),
  /** Seeds the weights of the attempt's checksums (linear_check.ts); nobody can know it before the attempt begins. */
  checkSeed: z.int().min(0).max(0xffff_ffff),
  /** How long the round may take. */
  roundMs: z.number().min(0),
  /** In phase `checkpoint`: who writes and uploads the adapter. */
  checkpointWriter: workerIdSchema.nullable(),
});
export type StepState = z.output<typeof stepStateSchema>;

/**
 * `counted`: add it to the sums. `duplicate`: somebody else's is in the sums. `stale`: of an attempt that is over, or
 * from no member of it. `unknown`: there is no such micro-batch.
 */
const verdictSchema = z.enum(["counted", "duplicate", "stale", "unknown"]);
export type Verdict = z.output<typeof verdictSchema>;

export const verdictAnswerSchema = z.strictObject({ verdict: verdictSchema });

/** The coordinator has taken note. */
export const receivedSchema = z.strictObject({ type: z.literal("received") });

/** An entry of a job's log of commits. */
export const commitEntrySchema = z.strictObject({
  jobId: jobIdSchema,
  startId: tokenSchema,
  specHash: z.string().min(1),
  /** 0: the initial adapter. */
  step: count,
  attempt: count,
  generation: count,
  digest: sha256Schema,
  members: z.array(workerIdSchema),
  labelCount: count,
  loss: z.number().nullable(),
  gradientNorm: z.number().nullable(),
  /** Largest |gradient| of each LoRA tensor in this step: the next step's exponents come from it. */
  maxAbs: floatsSchema,
  committedAt: count,
  /** Micro-batches that are in nobody's sums, since their gradient is not finite: by whose word. */
  excluded: z.array(z.strictObject({ index: count, workers: z.array(workerIdSchema) })).default([]),
  /** Of all steps up to this one, and so are the audits. */
  excludedTotal: count.default(0),
  audits: auditCountsSchema.default(NO_AUDITS),
});
export type CommitEntry = z.output<typeof commitEntrySchema>;
