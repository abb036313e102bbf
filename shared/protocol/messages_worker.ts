/** What a worker tells the coordinator. */
import { z } from "zod";
import { ERROR_CODES } from "../errors.ts";
import { incarnationSchema, jobIdSchema, sha256Schema, tokenSchema, workerIdSchema } from "./ids.ts";
import { checksumsSchema, floatsSchema } from "./messages_codec.ts";

/** Grows when an older worker or coordinator would misunderstand a newer one. */
export const PROTOCOL_VERSION = 4;

const text = z.string().max(4000);
const count = z.int().min(0);
const sender = { worker: workerIdSchema, incarnation: incarnationSchema };

/** A request to become a member, under an incarnation that was never used before. */
export const helloSchema = z.strictObject({
  ...sender,
  protocolVersion: z.int(),
  name: z.string().min(1).max(200),
  gpu: text,
});
export type Hello = z.output<typeof helloSchema>;

/** A request to be no member any more, at once. */
export const leaveSchema = z.strictObject({ ...sender, reason: text });

/** The committed state that a worker holds; step 0 is the initial adapter. */
export const committedSchema = z.strictObject({ step: count, digest: sha256Schema });
export type Committed = z.output<typeof committedSchema>;

/** How an adapter lies in memory, as far as it has to be the same everywhere. */
const layoutSchema = z.strictObject({
  tensorCount: z.int().positive(),
  elementCount: z.int().positive(),
  parameterCount: z.int().positive(),
});

/** How far a worker is with the announced job. */
const workerJobSchema = z.discriminatedUnion("phase", [
  z.strictObject({ phase: z.literal("loading"), jobId: jobIdSchema, startId: tokenSchema }),
  z.strictObject({
    phase: z.literal("loaded"),
    jobId: jobIdSchema,
    startId: tokenSchema,
    layout: layoutSchema,
    committed: committedSchema,
  }),
  z.strictObject({
    phase: z.literal("failed"),
    jobId: jobIdSchema,
    startId: tokenSchema,
    code: z.enum(ERROR_CODES),
    message: text,
    param: text.nullable(),
  }),
]);
export type WorkerJob = z.output<typeof workerJobSchema>;

/** The worker's whole state, told at every change and several times a second. */
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
  /** What its link receives at its best in rounds; null where none has shown it. */
  linkBytesPerSecond: z.number().positive().nullable(),
  job: workerJobSchema.nullable(),
  /** The micro-batch that is being computed. */
  busy: z.strictObject({ step: count, attempt: count, index: count, sinceMs: z.number().min(0) }).nullable(),
});
export type Heartbeat = z.output<typeof heartbeatSchema>;

const attempt = {
  ...sender,
  /** Tells the step and the attempt from the same numbers under an earlier coordinator, or before a pause. */
  term: count,
  step: z.int().positive(),
  attempt: z.int().positive(),
};

/** A claim: this gradient is computed and in no sum yet. */
export const microBatchReportSchema = z.strictObject({
  ...attempt,
  /** Position within the step. */
  index: count,
  /** Unique for each computation of this incarnation, so that a report that is sent twice is told from work done twice. */
  claim: count,
  /** Sum of the cross entropy in nats; null where it is not a finite number. */
  lossSum: z.number().nullable(),
  labelCount: count,
  /** Largest |gradient| of each LoRA tensor. */
  maxAbs: floatsSchema,
  computeMs: z.number().min(0),
  /** SHA-256 over the bits of the gradient, where the micro-batch is audited. */
  gradientDigest: sha256Schema.nullable().default(null),
  /** The checksum of the integers that it adds to its sums, where the micro-batch is audited and exponents are known. */
  gradientCheck: checksumsSchema.nullable().default(null),
  /** The assignment that it answers, where it is an audit: such a gradient goes into no sums. */
  audit: count.nullable().default(null),
});
export type MicroBatchReport = z.output<typeof microBatchReportSchema>;

/** The work item of a micro-batch that an assignment asks to compute, as it would come from the queue. */
export const itemRequestSchema = z.strictObject({ ...attempt, index: count });
export type ItemRequest = z.output<typeof itemRequestSchema>;

/**
 * Checksums of what was summed in a round, by the weights that the state has announced (linear_check.ts): what the
 * coordinator compares before it commits (decision 0019).
 */
const roundCheckSchema = z.strictObject({
  /** Of this worker's sums, by the owner of the range, in the order of the members. */
  given: checksumsSchema,
  /** Of what has come for its own range, by the sender. */
  received: checksumsSchema,
  /** Of its own range's total, before a codec has rounded it. */
  total: checksumsSchema,
  /** Of the result as it has it, by the owner of the range. */
  result: checksumsSchema,
});
export type RoundCheck = z.output<typeof roundCheckSchema>;

/** The update is computed beside the committed state. */
export const updateReportSchema = z.strictObject({
  ...attempt,
  /** Of the round: after a change of members the same attempt has another one. */
  generation: count,
  digest: sha256Schema,
  /** Null where it is not a finite number. */
  gradientNorm: z.number().nullable(),
  /** As in the heartbeat, this round included. */
  gradientBytesSent: count,
  /** Null where the worker was alone in the round. */
  check: roundCheckSchema.nullable().default(null),
});
export type UpdateReport = z.output<typeof updateReportSchema>;

/** The worker cannot go on with the attempt. */
export const attemptFailureSchema = z.strictObject({
  ...attempt,
  reason: text,
  /** Workers that it blames, by id; itself where its own GPU failed. */
  suspects: z.array(workerIdSchema).max(1000),
  gradientBytesSent: count,
});
export type AttemptFailure = z.output<typeof attemptFailureSchema>;

/** One micro-batch of an inner loop, asked of the coordinator. The answer is a work item that names the same. */
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

/** A piece of the newest committed state, asked of a worker that holds it. The answer is a tensor frame of kind `state`. */
export const recoverRequestSchema = z.strictObject({
  startId: tokenSchema,
  /** The commit that the holder is listed under; of any other it has nothing to give. */
  committed: committedSchema,
  /** In 32-bit words of adapter, first moment and second moment behind one another. */
  offset: count,
  count: z.int().positive(),
});
export type RecoverRequest = z.output<typeof recoverRequestSchema>;
