/** Messages of a worker to the coordinator. */
import { z } from "zod";
import { ERROR_CODES } from "../errors.ts";
import { incarnationSchema, jobIdSchema, sha256Schema, tokenSchema, workerIdSchema } from "./ids.ts";
import { checksumsSchema, floatsSchema } from "./messages_codec.ts";

/** Raised when an older worker or coordinator would misunderstand a newer one. */
export const PROTOCOL_VERSION = 8;
/**
 * The oldest version of a worker that a coordinator of this release serves; workers of all versions up to `PROTOCOL_VERSION` join.
 * tests/layouts/wire_test.ts reads recorded messages of each version. Readers are strict, since a worker that skipped a field
 * of a job would train something else: a field that the coordinator sends to all raises both numbers, unless it is left out as
 * long as an older worker is there.
 */
export const OLDEST_PROTOCOL_VERSION = 7;
/** A fleet with an older worker gets no step with a fingerprint, and so no message that this worker does not know. */
export const FIRST_VERSION_WITH_FINGERPRINTS = 8;

const text = z.string().max(4000);
const count = z.int().min(0);
const sender = { worker: workerIdSchema, incarnation: incarnationSchema };

/** A request to become a member, under a fresh incarnation. */
export const helloSchema = z.strictObject({
  ...sender,
  protocolVersion: z.int(),
  name: z.string().min(1).max(200),
  gpu: text,
});
export type Hello = z.output<typeof helloSchema>;

/** A request to end the membership at once. */
export const leaveSchema = z.strictObject({ ...sender, reason: text });

/** The committed state that a worker holds; step 0 is the initial adapter. */
export const committedSchema = z.strictObject({ step: count, digest: sha256Schema });
export type Committed = z.output<typeof committedSchema>;

/** The part of an adapter's memory layout that must be equal on all workers. */
const layoutSchema = z.strictObject({
  tensorCount: z.int().positive(),
  elementCount: z.int().positive(),
  parameterCount: z.int().positive(),
});

/** What the memory plan takes of a GPU, and what it may take; null: unknown, so that allocation decides. */
const gpuMemorySchema = z.strictObject({ plannedBytes: count, budgetBytes: count.nullable() });
export type GpuMemoryUse = z.output<typeof gpuMemorySchema>;

const job = { jobId: jobIdSchema, startId: tokenSchema };

/** A worker's progress with the announced job. */
const workerJobSchema = z.discriminatedUnion("phase", [
  z.strictObject({ phase: z.literal("loading"), ...job }),
  z.strictObject({
    phase: z.literal("loaded"),
    ...job,
    layout: layoutSchema,
    committed: committedSchema,
    /** Of a PiSSA job: SHA-256 of the adapter at its start, which the worker has computed from the base model. */
    pissaDigest: sha256Schema.optional(),
    gpuMemory: gpuMemorySchema.optional(),
  }),
  z.strictObject({
    phase: z.literal("failed"),
    ...job,
    code: z.enum(ERROR_CODES),
    message: text,
    param: text.nullable(),
  }),
]);
export type WorkerJob = z.output<typeof workerJobSchema>;

/** The worker's whole state, sent at every change and several times a second. */
export const heartbeatSchema = z.strictObject({
  ...sender,
  name: z.string().min(1).max(200),
  gpu: text,
  draining: z.boolean(),
  /** Longest time between two turns of the event loop since the worker joined. */
  maxGapMs: z.number().min(0),
  microBatchesDone: count,
  tokensPerSecond: z.number().min(0),
  /** Payload bytes of gradient frames published since the worker joined, failed rounds included. */
  gradientBytesSent: count,
  /** How often its GPU was reset since the worker's start, unless never. */
  gpuResets: count.optional(),
  /** The best receive rate of its link in rounds; null before the first one. */
  linkBytesPerSecond: z.number().positive().nullable(),
  job: workerJobSchema.nullable(),
  /** The micro-batch in work. */
  busy: z.strictObject({ step: count, attempt: count, index: count, sinceMs: z.number().min(0) }).nullable(),
});
export type Heartbeat = z.output<typeof heartbeatSchema>;

const attempt = {
  ...sender,
  /** Distinguishes step and attempt from the same numbers under an earlier coordinator, or before a pause. */
  term: count,
  step: z.int().positive(),
  attempt: z.int().positive(),
};

/** A claim: the gradient is computed and in no sum yet. */
export const microBatchReportSchema = z.strictObject({
  ...attempt,
  /** Position within the step. */
  index: count,
  /** Unique for each computation of this incarnation: a report sent twice is not work done twice. */
  claim: count,
  /** Sum of the cross entropy in nats; null if not finite. */
  lossSum: z.number().nullable(),
  /** Labels that count in the loss, each by its weight. */
  labelCount: z.number().min(0),
  /** Labels that are the most likely token, each by its weight. */
  correctCount: z.number().min(0).default(0),
  /** Largest |gradient| of each LoRA tensor. */
  maxAbs: floatsSchema,
  computeMs: z.number().min(0),
  /** SHA-256 over the bits of the gradient, if the micro-batch is audited. */
  gradientDigest: sha256Schema.nullable().default(null),
  /** Checksum of the integers added to the sums, if the micro-batch is audited and exponents are known. */
  gradientCheck: checksumsSchema.nullable().default(null),
  /** The audit assignment that it answers, if any: such a gradient goes into no sums. */
  audit: count.nullable().default(null),
});
export type MicroBatchReport = z.output<typeof microBatchReportSchema>;

/** A request for the work item of an assignment, as the queue would deliver it. */
export const itemRequestSchema = z.strictObject({ ...attempt, index: count });
export type ItemRequest = z.output<typeof itemRequestSchema>;

/** Checksums of a round by the announced weights (linear_check.ts), which the coordinator compares (decision 0019). */
const roundCheckSchema = z.strictObject({
  /** Of this worker's sums, by range owner, in the order of the members. */
  given: checksumsSchema,
  /** Of the chunks received for its own range, by sender. */
  received: checksumsSchema,
  /** Of its own range's total, before a codec rounds it. */
  total: checksumsSchema,
  /** Of its copy of the result, by range owner. */
  result: checksumsSchema,
});
export type RoundCheck = z.output<typeof roundCheckSchema>;

/** The update is computed, and kept beside the committed state. */
export const updateReportSchema = z.strictObject({
  ...attempt,
  /** Names the round: a change of members begins a new one in the same attempt. */
  generation: count,
  /** Of the kind that the round asks for. */
  digest: sha256Schema,
  /** Null if not finite. */
  gradientNorm: z.number().nullable(),
  /** As in the heartbeat, this round included. */
  gradientBytesSent: count,
  /** Null if the worker was alone in the round. */
  check: roundCheckSchema.nullable().default(null),
});
export type UpdateReport = z.output<typeof updateReportSchema>;

/** The worker cannot continue the attempt. */
export const attemptFailureSchema = z.strictObject({
  ...attempt,
  reason: text,
  /** Ids of the workers that it blames: itself if its own GPU failed. */
  suspects: z.array(workerIdSchema).max(1000),
  gradientBytesSent: count,
});
export type AttemptFailure = z.output<typeof attemptFailureSchema>;

/** A micro-batch of the validation rows is evaluated on the committed state, or this worker cannot do so. */
export const evaluationReportSchema = z.strictObject({
  ...sender,
  term: count,
  /** The committed step. */
  step: count,
  /** Position within the evaluation. */
  index: count,
  outcome: z.discriminatedUnion("type", [
    z.strictObject({
      type: z.literal("evaluated"),
      /** Sum of the cross entropy in nats; null if not finite. */
      lossSum: z.number().nullable(),
      labelCount: count,
      correctCount: count,
      computeMs: z.number().min(0),
    }),
    z.strictObject({ type: z.literal("failed"), reason: text }),
  ]),
});
export type EvaluationReport = z.output<typeof evaluationReportSchema>;

/** A request for one micro-batch of an inner loop; the answer is its work item. */
export const rowsRequestSchema = z.strictObject({
  ...attempt,
  /** Position of the inner loop within the step. */
  index: count,
  /** Job-wide. */
  number: count,
});
export type RowsRequest = z.output<typeof rowsRequestSchema>;

/** The outcome of a checkpoint assignment. */
export const checkpointReportSchema = z.strictObject({
  ...sender,
  step: z.int().positive(),
  outcome: z.discriminatedUnion("type", [
    z.strictObject({
      type: z.literal("written"),
      files: z.array(z.strictObject({ name: z.string().min(1).max(200), size: count, sha256: sha256Schema }))
        .min(1),
    }),
    z.strictObject({ type: z.literal("failed"), reason: text }),
  ]),
});
export type CheckpointReport = z.output<typeof checkpointReportSchema>;

/** A request to a holder for a piece of the newest committed state; the answer is a tensor frame of kind `state`. */
export const recoverRequestSchema = z.strictObject({
  startId: tokenSchema,
  /** The commit for which the holder is listed; it serves no other. */
  committed: committedSchema,
  /** In 32-bit words of adapter, first and second moment, concatenated. */
  offset: count,
  count: z.int().positive(),
});
export type RecoverRequest = z.output<typeof recoverRequestSchema>;
