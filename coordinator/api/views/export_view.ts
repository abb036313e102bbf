/** An export of a job, and its files. */
import { z } from "@hono/zod-openapi";
import {
  EXPORT_STATUSES,
  type ExportRecord,
  measurementStateSchema,
  pushSchema,
} from "../../exports/record/export_record.ts";
import { driftSchema } from "../../../shared/protocol/messages_measure.ts";
import { exportRequestSchema } from "../../exports/record/export_request.ts";
import { seconds, timestamp } from "./list_view.ts";

export const exportFileViewSchema = z.object({
  object: z.literal("fine_tuning.job.export.file"),
  id: z.string().openapi({ description: "Same as name" }),
  name: z.string(),
  bytes: z.int(),
  sha256: z.string(),
  url: z.string().openapi({ description: "Download path on this server" }),
}).openapi("FineTuningJobExportFile");

const { kind, base, dtype, quantization, step } = exportRequestSchema.shape;

export const exportSchema = z.object({
  object: z.literal("fine_tuning.job.export"),
  id: z.string(),
  fine_tuning_job_id: z.string(),
  created_at: timestamp,
  started_at: timestamp.nullable(),
  finished_at: timestamp.nullable(),
  status: z.enum(EXPORT_STATUSES),
  ...{ kind, base, dtype, quantization },
  step_number: step,
  bytes_done: z.int(),
  bytes_total: z.int().nullable().openapi({ description: "Of all files; null before they are planned" }),
  error: z.object({ code: z.string(), message: z.string(), param: z.string().nullable() }).nullable(),
  files: z.array(exportFileViewSchema),
  drift: driftSchema.nullable(),
  measurement: measurementStateSchema.nullable(),
  push: pushSchema.nullable(),
}).openapi("FineTuningJobExport");

/** @param hidePaths strips this machine's paths from the error */
export function exportView(
  record: ExportRecord,
  hidePaths: (text: string) => string,
): z.output<typeof exportSchema> {
  const { id, jobId, request, error, drift, measurement, push } = record;
  const hidden = (failure: ExportRecord["error"]) => (
    failure === null ? null : { ...failure, message: hidePaths(failure.message) }
  );
  const { step, ...asked } = request;
  const time = (at: number | null) => at === null ? null : seconds(at);
  return {
    object: "fine_tuning.job.export",
    id,
    fine_tuning_job_id: jobId,
    created_at: seconds(record.createdAt),
    started_at: time(record.startedAt),
    finished_at: time(record.finishedAt),
    status: record.status,
    ...asked,
    step_number: step,
    bytes_done: record.bytesDone,
    bytes_total: record.bytesTotal,
    error: hidden(error),
    drift,
    measurement: measurement === null ? null : {
      ...measurement,
      reason: measurement.reason === null ? null : hidePaths(measurement.reason),
      failures: measurement.failures.map((failure) => ({ ...failure, reason: hidePaths(failure.reason) })),
    },
    push: push === null ? null : { ...push, error: hidden(push.error) },
    files: record.files.map(({ name, size, sha256 }) => (
      {
        object: "fine_tuning.job.export.file",
        id: name,
        name,
        bytes: size,
        sha256,
        url: urlOf(jobId, id, name),
      }
    )),
  };
}

function urlOf(jobId: string, id: string, name: string): string {
  return `/v1/fine_tuning/jobs/${jobId}/exports/${id}/files/${name}`;
}
