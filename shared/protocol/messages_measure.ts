/**
 * Measuring a merge: the coordinator asks one worker over the bus, the worker fetches the task and its files over HTTP and hands
 * the result in there.
 */
import { z } from "zod";
import { MERGE_BASES } from "../checkpoint/merge/merged_model.ts";
import { MERGED_DTYPES } from "../checkpoint/merge/round.ts";
import { loraSchema } from "../job/job_spec_schema.ts";
import { modelManifestSchema } from "../model/model_manifest.ts";
import { incarnationSchema, jobIdSchema, sha256Schema, tokenSchema, workerIdSchema } from "./ids.ts";

const count = z.int().min(0);

/** Which worker measures which export. Repeated while it is so; a worker that hears of it no more stops. */
export const measurementSchema = z.strictObject({
  coordinatorId: tokenSchema,
  worker: workerIdSchema,
  incarnation: incarnationSchema,
  exportId: tokenSchema,
  /** Grows with each assignment of one coordinator. */
  attempt: count,
});
export type Measurement = z.output<typeof measurementSchema>;

const fileSchema = z.strictObject({ name: z.string().min(1), size: count, sha256: sha256Schema });

/** The file with the rows: one micro-batch (micro_batch_codec.ts) whose segments they are. */
export const ROWS_FILENAME = "rows.bin";

/** Whose rows are measured: the held-out ones, or those of the training if the job holds none out. */
export const ROWS_OF = ["validation", "training"] as const;

/** A merge as a worker measures it. */
export const measureTaskSchema = z.strictObject({
  exportId: tokenSchema,
  jobId: jobIdSchema,
  attempt: count,
  model: modelManifestSchema,
  /** The coordinator's copy of the base model, for workers that see the same disk. */
  modelFolder: z.string(),
  lora: loraSchema,
  doubleQuantization: z.boolean(),
  base: z.enum(MERGE_BASES),
  /** Of the merged weights; null: as the base model's. */
  dtype: z.enum(MERGED_DTYPES).nullable(),
  /** The adapter's two files, and the rows. */
  files: z.array(fileSchema).min(1).max(8),
  rowsOf: z.enum(ROWS_OF),
  /** Rows that there are, of which the file may have fewer; null: they are not counted. */
  rowsAvailable: z.int().positive().nullable(),
});
export type MeasureTask = z.output<typeof measureTaskSchema>;

const share = () => z.number().min(0).max(1);

/** How far a merged model is from the trained one, as `deno task evaluate --drift` and workers measure it. */
export const driftSchema = z.strictObject({
  rows: z.int().positive(),
  /** Rows that there are, if not all are measured, and whose they are; left out by `deno task evaluate`. */
  rows_available: z.int().positive().optional(),
  rows_of: z.enum(ROWS_OF).optional(),
  tokens: z.int().positive(),
  logit_mean_abs: z.number().min(0),
  logit_max_abs: z.number().min(0),
  kl_mean: z.number().min(0),
  top1_agreement: share(),
  /** Of the base model in NF4, without the adapter. */
  exact_match_base: share().optional(),
  exact_match_trained: share(),
  exact_match_merged: share(),
  same_rows: share(),
});
export type Drift = z.output<typeof driftSchema>;

/** What a worker hands in. */
export const measureOutcomeSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("measured"), attempt: count, drift: driftSchema }),
  z.strictObject({
    type: z.literal("failed"),
    attempt: count,
    code: z.string().max(100),
    reason: z.string().max(4000),
  }),
]);
export type MeasureOutcome = z.output<typeof measureOutcomeSchema>;
