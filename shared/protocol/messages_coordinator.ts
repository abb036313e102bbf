/** Messages of the coordinator: two states that it repeats, and short answers to requests. */
import { z } from "zod";
import { incarnationSchema, jobIdSchema, sha256Schema, tokenSchema, workerIdSchema } from "./ids.ts";
import { fleetSchema, loraSchema } from "../job/job_spec_schema.ts";
import { floatsSchema } from "./messages_codec.ts";
import { committedSchema } from "./messages_worker.ts";
import { TRACEPARENT } from "./spans.ts";
import { modelManifestSchema } from "../model/model_manifest.ts";

const count = z.int().min(0);

const memberSchema = z.strictObject({ worker: workerIdSchema, incarnation: incarnationSchema });
export type MemberRef = z.output<typeof memberSchema>;

/** Orders announcements: by term, which grows with each coordinator that leads at a broker, then by generation. */
const fleetAge = { term: count, generation: count };

/** The answer to a hello. Announcements of earlier generations do not know the worker yet. */
export const welcomeSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("welcome"), coordinatorId: tokenSchema, ...fleetAge }),
  z.strictObject({ type: z.literal("refused"), reason: z.string() }),
]);
export type Welcome = z.output<typeof welcomeSchema>;

/** What must be equal on every worker of a job. */
const jobAnnouncementSchema = z.strictObject({
  jobId: jobIdSchema,
  /** Names this start of the training: workers drop state of any other start. */
  startId: tokenSchema,
  specHash: z.string().min(1),
  model: modelManifestSchema,
  /** The coordinator's copy of the base model, for workers that see the same disk. */
  modelFolder: z.string(),
  baseModelName: z.string(),
  /** Whether a checkpoint holds the training state besides the adapter. */
  savesState: z.boolean(),
  gradientCodec: fleetSchema.shape.gradient_codec.unwrap(),
  /** Of the whole job, for a worker's log: steps, and the tokens that go through the model in them. Left out: unknown. */
  totals: z.strictObject({ steps: count, tokens: count }).optional(),
  /** The outer optimizer; null: each step is one AdamW update, and its work items are micro-batches, not inner loops. */
  localSteps: z.strictObject({
    outerLearningRate: z.number().positive(),
    outerMomentum: z.number().min(0).lt(1),
  })
    .nullable(),
  engine: z.strictObject({
    lora: loraSchema,
    seed: count,
    doubleQuantization: z.boolean(),
    gradientCheckpointing: z.boolean(),
    maxTokensPerMicroBatch: z.int().positive(),
    /** Of the largest micro-batch that is evaluated, if that is larger. */
    maxTokensPerEvaluation: z.int().positive().optional(),
    maxPositions: z.int().positive(),
    regularisation: z.strictObject({
      noiseAlpha: z.number().min(0),
      labelSmoothing: z.number().min(0).max(1),
    }).optional(),
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

/** The members of the fleet and its job. */
export const fleetStateSchema = z.strictObject({
  coordinatorId: tokenSchema,
  ...fleetAge,
  members: z.array(memberSchema),
  /** Null does not end an earlier job: a restarted coordinator needs a while to resume it. */
  job: jobAnnouncementSchema.nullable(),
});
export type FleetState = z.output<typeof fleetStateSchema>;

const jobEndSchema = z.enum(["done", "failed", "cancelled"]);
export type JobEnd = z.output<typeof jobEndSchema>;

const stepPhaseSchema = z.enum([
  "waiting",
  "compute",
  "reduce",
  "commit",
  "evaluate",
  "checkpoint",
  ...jobEndSchema.options,
]);
export type StepPhase = z.output<typeof stepPhaseSchema>;

export function isJobEnd(phase: StepPhase): phase is JobEnd {
  return jobEndSchema.safeParse(phase).success;
}

/** A micro-batch for one member besides those of the queue; the member requests its rows. */
const assignmentSchema = z.strictObject({
  /** Unique within one coordinator process. */
  id: count,
  /** Position within the step. */
  index: count,
  worker: workerIdSchema,
  /** `claim`: as from the queue. `audit`: report the digest of the gradient, and add nothing to the sums. */
  purpose: z.enum(["claim", "audit"]),
});
export type Assignment = z.output<typeof assignmentSchema>;

/** Outcomes of audits, which recompute micro-batches. */
export const auditCountsSchema = z.strictObject({
  passed: count,
  /** A worker was found wrong. */
  failed: count,
  /** No member with the same GPU answered in time. */
  skipped: count,
});
export type AuditCounts = z.output<typeof auditCountsSchema>;
export const NO_AUDITS: AuditCounts = { passed: 0, failed: 0, skipped: 0 };

/** The whole state of a job's step: a worker compares its own and does what is missing (decision 0002). */
export const stepStateSchema = z.strictObject({
  jobId: jobIdSchema,
  startId: tokenSchema,
  /** Grows with every change within a term: recognises an older state that arrives late. */
  revision: count,
  /** The current step, 1-based. */
  step: z.int().positive(),
  /** Grows with each coordinator and its run of the job: attempts and states of an earlier term are void, its ledger is lost. */
  term: count,
  /** Grows within the step; 0 before its first attempt. Gradient sums belong to one attempt. */
  attempt: count,
  /** Grows within a term with each change of the members, across attempts and steps: names the attempt's round. */
  generation: count,
  phase: stepPhaseSchema,
  /** Participants of the attempt, sorted by worker id. */
  members: z.array(memberSchema),
  /** Relative size of the part of the gradient that each of them owns in the round. */
  weights: z.array(count),
  /**
   * Sources of the newest committed state: live workers, and the coordinator if it has stored it. None under a fingerprint, which
   * does not protect a state that is loaded.
   */
  holders: z.array(workerIdSchema),
  /** They get no work and need no state. */
  quarantined: z.array(workerIdSchema),
  /** The newest commit; null until the workers agree on the initial adapter. */
  committed: committedSchema.nullable(),
  /** In the phases `reduce` and `commit`: what the update's digest is; left out: SHA-256. */
  digestKind: z.literal("fingerprint").optional(),
  microBatchCount: count,
  /** One for each LoRA tensor, null if still unset. Null as a whole: this attempt only shows the maxima. */
  exponents: z.array(z.int().min(-126).max(126).nullable()).nullable(),
  /** From phase `reduce` on, else empty: the position of the member with each micro-batch in its sums; null: excluded. */
  ledger: z.array(count.nullable()),
  /** In phase `compute`. */
  assignments: z.array(assignmentSchema),
  /** From phase `reduce` on: labels that count in the loss, over all micro-batches, each by its weight. */
  labelCount: z.number().min(0),
  learningRate: z.number().min(0),
  /** Seeds the weights of the attempt's checksums (linear_check.ts); unpredictable before the attempt. */
  checkSeed: z.int().min(0).max(0xffff_ffff),
  roundMs: z.number().min(0),
  /** In phase `checkpoint`: the member that writes and uploads the adapter. */
  checkpointWriter: workerIdSchema.nullable(),
  /** Of the coordinator's span, while one is recorded. */
  traceparent: z.string().regex(TRACEPARENT).optional(),
});
export type StepState = z.output<typeof stepStateSchema>;

/**
 * `counted`: add it to the sums. `duplicate`: a different worker's is in the sums. `stale`: the attempt is over, or the
 * sender is no member of it. `unknown`: there is no such micro-batch.
 */
const verdictSchema = z.enum(["counted", "duplicate", "stale", "unknown"]);
export type Verdict = z.output<typeof verdictSchema>;

export const verdictAnswerSchema = z.strictObject({ verdict: verdictSchema });

export const receivedSchema = z.strictObject({ type: z.literal("received") });

/** An entry of a job's commit log. */
export const commitEntrySchema = z.strictObject({
  jobId: jobIdSchema,
  startId: tokenSchema,
  specHash: z.string().min(1),
  /** 0: the initial adapter. */
  step: count,
  attempt: count,
  generation: count,
  /** A fingerprint begins with 16 zeros (state/state_digest.ts). */
  digest: sha256Schema,
  members: z.array(workerIdSchema),
  labelCount: z.number().min(0),
  /** Labels that were the most likely token, each by its weight; left out by earlier versions. */
  correctCount: z.number().min(0).optional(),
  loss: z.number().nullable(),
  gradientNorm: z.number().nullable(),
  /** Largest |gradient| of each LoRA tensor, fading with the steps since (decision 0038): yields the next step's exponents. */
  maxAbs: floatsSchema,
  committedAt: count,
  /** Micro-batches in no sums, for gradients that are not finite, and the workers that reported it. */
  excluded: z.array(z.strictObject({ index: count, workers: z.array(workerIdSchema) })).default([]),
  /** Over all steps so far, as `audits`. */
  excludedTotal: count.default(0),
  audits: auditCountsSchema.default(NO_AUDITS),
});
export type CommitEntry = z.output<typeof commitEntrySchema>;
