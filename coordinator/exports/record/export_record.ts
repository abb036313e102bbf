/** An export as it is stored: one JSON file each, beside the folders with the exports' own files. */
import { z } from "zod";
import { exportRequestSchema } from "./export_request.ts";

export const exportFileSchema = z.strictObject({ name: z.string(), size: z.int(), sha256: z.string() });

export const EXPORT_STATUSES = ["queued", "running", "succeeded", "failed"] as const;

export const exportRecordSchema = z.strictObject({
  id: z.string(),
  jobId: z.string(),
  createdAt: z.number(),
  startedAt: z.number().nullable(),
  finishedAt: z.number().nullable(),
  status: z.enum(EXPORT_STATUSES),
  request: exportRequestSchema,
  /** Of all files; null before they are planned. */
  bytesTotal: z.int().nullable(),
  bytesDone: z.int(),
  files: z.array(exportFileSchema),
  error: z.strictObject({ code: z.string(), message: z.string(), param: z.string().nullable() }).nullable(),
});
export type ExportRecord = z.output<typeof exportRecordSchema>;

export function isEnded({ status }: ExportRecord): boolean {
  return status === "succeeded" || status === "failed";
}
