/** An export as it is stored: one JSON file each, beside the folders with the exports' own files. */
import { z } from "zod";
import { driftSchema } from "../../../shared/protocol/messages_measure.ts";
import { exportRequestSchema } from "./export_request.ts";

export const exportFileSchema = z.strictObject({ name: z.string(), size: z.int(), sha256: z.string() });

export const EXPORT_STATUSES = ["queued", "running", "succeeded", "failed"] as const;

const errorSchema = z.strictObject({ code: z.string(), message: z.string(), param: z.string().nullable() });

/** How far the measurement of a merge is: by a worker, because this machine has no GPU. */
export const measurementStateSchema = z.strictObject({
  status: z.enum(["waiting", "running", "succeeded", "failed"]),
  /** The worker that measures or has measured. */
  worker: z.string().nullable(),
  /** Why there are no numbers yet, or none at all. */
  reason: z.string().nullable(),
  /** Workers that could not measure it, oldest first. */
  failures: z.array(z.strictObject({ worker: z.string(), reason: z.string() })),
});
export type MeasurementState = z.output<typeof measurementStateSchema>;

/** The newest push of an export to the hub. */
export const pushSchema = z.strictObject({
  status: z.enum(EXPORT_STATUSES),
  hub_model_id: z.string(),
  /** Of a repository that the push makes. */
  hub_private_repo: z.boolean(),
  hub_revision: z.string(),
  url: z.string().nullable(),
  commit: z.string().nullable(),
  error: errorSchema.nullable(),
});
export type ExportPush = z.output<typeof pushSchema>;

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
  error: errorSchema.nullable(),
  drift: driftSchema.nullable().default(null),
  /** Null for what is not measured. */
  measurement: measurementStateSchema.nullable().default(null),
  push: pushSchema.nullable().default(null),
});
export type ExportRecord = z.output<typeof exportRecordSchema>;

/** Whether its merge still has to be measured. */
export function isUnmeasured({ status, measurement }: ExportRecord): boolean {
  return status === "succeeded" && (measurement?.status === "waiting" || measurement?.status === "running");
}

/** Whether there is nothing left to do. */
export function isIdle(record: ExportRecord): boolean {
  return isEnded(record) && !isPushing(record);
}

export function isPushing({ push }: ExportRecord): boolean {
  return push?.status === "queued" || push?.status === "running";
}

export function isEnded({ status }: ExportRecord): boolean {
  return status === "succeeded" || status === "failed";
}
