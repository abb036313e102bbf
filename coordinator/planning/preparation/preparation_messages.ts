/** Messages between the coordinator and a preparation's process: one request, lines of progress, one outcome. */
import { z } from "zod";
import { dataFileSchema } from "../../../shared/data/files/data_files.ts";
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { failureSchema } from "../../../shared/protocol/failure.ts";

/** About a tenth of a core while all are busy: a worker on the same machine keeps its pace, and the queue still advances. */
export const NICENESS = 10;

export const preparationRequestSchema = z.strictObject({
  spec: jobSpecSchema,
  part: z.enum(["training", "validation"]).optional(),
  modelFolder: z.string(),
  files: z.array(dataFileSchema),
  /** What the rows are made from (preparation_key.ts). */
  key: z.string(),
  outputPath: z.string(),
  /** That build rows; 1: none besides the one that reads them. Left out: by the files' size and the machine. */
  threads: z.int().min(1).optional(),
});
export type PreparationRequest = z.output<typeof preparationRequestSchema>;

/** What is read and tokenised so far, of how many bytes. */
const progressSchema = z.strictObject({
  bytes: z.int(),
  totalBytes: z.int(),
  rows: z.int(),
  tokens: z.int(),
});
export type Progress = z.output<typeof progressSchema>;

/** Rows of a file that are decoded in one go, and the bytes that their group has decoded. */
const decodingSchema = z.strictObject({ what: z.string(), bytes: z.number() });
export type Decoding = z.output<typeof decodingSchema>;

export const preparationMessageSchema = z.discriminatedUnion("type", [
  progressSchema.extend({ type: z.literal("progress") }),
  /** Rows are being decoded; null: they are. */
  z.strictObject({ type: z.literal("decoding"), decoding: decodingSchema.nullable() }),
  z.strictObject({ type: z.literal("done") }),
  z.strictObject({ type: z.literal("failed"), failure: failureSchema }),
]);
export type PreparationMessage = z.output<typeof preparationMessageSchema>;
