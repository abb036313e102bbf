/** Messages between the coordinator and a preparation's process: one request, lines of progress, one outcome. */
import { z } from "zod";
import { dataFileSchema } from "../../../shared/data/files/data_files.ts";
import { ERROR_CODES, LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";

export const preparationRequestSchema = z.strictObject({
  spec: jobSpecSchema,
  part: z.enum(["training", "validation"]).optional(),
  modelFolder: z.string(),
  files: z.array(dataFileSchema),
  /** What the rows are made from (preparation_key.ts). */
  key: z.string(),
  outputPath: z.string(),
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

const failureSchema = z.strictObject({
  /** Null for a defect of ours. */
  code: z.enum(ERROR_CODES).nullable(),
  message: z.string(),
  param: z.string().nullable(),
  stack: z.string().nullable(),
});

export const preparationMessageSchema = z.discriminatedUnion("type", [
  progressSchema.extend({ type: z.literal("progress") }),
  z.strictObject({ type: z.literal("done") }),
  z.strictObject({ type: z.literal("failed"), failure: failureSchema }),
]);
export type PreparationMessage = z.output<typeof preparationMessageSchema>;

/** Serialises what was thrown. */
export function failureOf(thrown: unknown): z.output<typeof failureSchema> {
  if (thrown instanceof LoraFleetError) {
    return { code: thrown.code, message: thrown.message, param: thrown.param, stack: null };
  }
  const stack = thrown instanceof Error ? thrown.stack ?? null : null;
  return { code: null, message: messageOf(thrown), param: null, stack };
}

/** The inverse of `failureOf`. */
export function errorOf({ code, message, param, stack }: z.output<typeof failureSchema>): Error {
  if (code !== null) return new LoraFleetError(code, message, param === null ? {} : { param });
  const defect = new Error(message);
  if (stack !== null) defect.stack = stack;
  return defect;
}
