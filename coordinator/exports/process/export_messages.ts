/** Messages between the coordinator and an export's process: one request, lines of progress, one outcome. */
import { z } from "zod";
import { loraSchema } from "../../../shared/job/job_spec_schema.ts";
import { exportFileSchema } from "../record/export_record.ts";
import { exportRequestSchema } from "../record/export_request.ts";
import { failureSchema } from "../../../shared/protocol/failure.ts";

export const exportTaskSchema = z.strictObject({
  request: exportRequestSchema,
  modelFolder: z.string(),
  /** Files of the base model that belong to the tokenizer. */
  tokenizerFiles: z.array(z.string()),
  adapterPath: z.string(),
  adapterConfigPath: z.string(),
  lora: loraSchema,
  doubleQuantization: z.boolean(),
  /** A short name for GGUF's metadata and file names. */
  name: z.string(),
  /** The base model as the job names it. */
  modelName: z.string(),
  /** The text of README.md. */
  card: z.string(),
  /** Empty. */
  outputFolder: z.string(),
  /** Left free on its disk; left out: what the coordinator's records need. */
  reserveBytes: z.int().optional(),
});
export type ExportTask = z.output<typeof exportTaskSchema>;

export const pushTaskSchema = z.strictObject({
  folder: z.string(),
  repo: z.string(),
  isPrivate: z.boolean(),
  branch: z.string(),
  title: z.string(),
  hub: z.strictObject({
    ...{ endpoint: z.string(), token: z.string().nullable(), offline: z.boolean(), cacheFolder: z.string() },
  }),
});
export type PushTask = z.output<typeof pushTaskSchema>;

export const exportMessageSchema = z.discriminatedUnion("type", [
  /** How many bytes the export will have; there is room for them. */
  z.strictObject({ type: z.literal("planned"), bytes: z.int() }),
  z.strictObject({ type: z.literal("progress"), bytes: z.int() }),
  z.strictObject({ type: z.literal("done"), files: z.array(exportFileSchema) }),
  z.strictObject({ type: z.literal("pushed"), url: z.string(), commit: z.string() }),
  z.strictObject({ type: z.literal("failed"), failure: failureSchema }),
]);
export type ExportMessage = z.output<typeof exportMessageSchema>;
