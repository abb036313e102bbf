/** Further results of a finished job: asked for, waited for, downloaded. */
import { join } from "@std/path";
import { z } from "zod";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { ApiClient } from "../client/api_client.ts";

const POLL_MS = 500;

const exportSchema = z.object({
  id: z.string(),
  status: z.enum(["queued", "running", "succeeded", "failed"]),
  error: z.object({ message: z.string() }).nullable(),
  files: z.array(z.object({ name: z.string(), url: z.string(), sha256: z.string() })),
});

/**
 * Writes one kind of export into `folder`. The same request finds an export that an interrupted run has begun. Throws
 * `invalid_request` for a kind that the coordinator does not know, `aborted` for an export that failed.
 */
export async function exportInto(
  api: ApiClient,
  jobId: string,
  kind: string,
  folder: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const path = `/v1/fine_tuning/jobs/${jobId}/exports`;
  let found = exportSchema.parse(await api.post(path, { kind }));
  while (found.status === "queued" || found.status === "running") {
    await clock.sleep(POLL_MS, signal);
    found = exportSchema.parse(await api.json(`${path}/${found.id}`));
  }
  if (found.status === "failed") {
    throw new LoraFleetError(
      "aborted",
      `the export ${kind} failed: ${found.error?.message ?? "no reason was given"}`,
    );
  }
  await Deno.mkdir(folder, { recursive: true });
  for (const { name, url } of found.files) await api.downloadTo(url, join(folder, name));
}
