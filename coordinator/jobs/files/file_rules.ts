/** What an upload may be called and be for, and which job still needs it. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { JobRecord } from "../record/job.ts";
import type { JobStore } from "../stores/job_store.ts";

/** The purposes of uploads. No part of lorafleet reads files of OpenAI's other purposes. */
export const UPLOAD_PURPOSES = ["fine-tune"] as const;

/** Throws `invalid_request` that lists the purposes of uploads. */
export function assertUploadPurpose(purpose: string): void {
  if (UPLOAD_PURPOSES.some((known) => known === purpose)) return;
  const message = `${quote(purpose)} is not a purpose of an upload: use ` +
    `${UPLOAD_PURPOSES.map(quote).join(" or ")}`;
  throw new LoraFleetError("invalid_request", message, { param: "purpose" });
}

/** Throws `invalid_request` for a name that is not valid on every system. */
export function assertFilename(filename: string, param = "file"): void {
  if (!/[\p{Cc}/\\]/u.test(filename) && filename.length > 0 && filename.length <= 255) return;
  const message = `${quote(filename)} is not a file name: 1 to 255 characters, without slashes and control ` +
    "characters";
  throw new LoraFleetError("invalid_request", message, { param });
}

interface FileUse {
  readonly job: JobRecord;
  readonly role: "training file" | "validation file";
}

/** The first unfinished job that needs the file. */
export function useOfFile(store: Pick<JobStore, "unfinishedJobs">, id: string): FileUse | null {
  for (const job of store.unfinishedJobs()) {
    if (job.spec.training_file === id) return { job, role: "training file" };
    if (job.validationFile === id) return { job, role: "validation file" };
  }
  return null;
}
