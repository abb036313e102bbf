/** A file as OpenAI's object. */
import { z } from "@hono/zod-openapi";
import type { FileRecord } from "../../jobs/stores/job_store.ts";
import { seconds, timestamp } from "./list_view.ts";

export const fileSchema = z.object({
  object: z.literal("file"),
  id: z.string(),
  bytes: z.int(),
  created_at: timestamp,
  filename: z.string(),
  purpose: z.string(),
  status: z.literal("processed"),
  status_details: z.null(),
  expires_at: timestamp.nullable(),
  sha256: z.string(),
}).openapi("File");

export function fileView(file: FileRecord): z.output<typeof fileSchema> {
  const { id, filename, purpose, sha256 } = file;
  return {
    object: "file",
    id,
    bytes: file.size,
    created_at: seconds(file.createdAt),
    filename,
    purpose,
    status: "processed",
    status_details: null,
    expires_at: file.expiresAt === null ? null : seconds(file.expiresAt),
    sha256,
  };
}
