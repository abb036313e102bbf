/** The newest checkpoint of a job, whatever became of the job. */
import { join } from "@std/path";
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { ApiClient } from "./api_client.ts";

const checkpointsSchema = z.object({ data: z.array(z.object({ step_number: z.int() })) });
const artifactsSchema = z.object({
  data: z.array(z.object({ name: z.string(), url: z.string(), sha256: z.string() })),
});

/** Its step; null without any. */
export async function newestCheckpoint(api: Pick<ApiClient, "json">, jobId: string): Promise<number | null> {
  const page = checkpointsSchema.parse(await api.json(`/v1/fine_tuning/jobs/${jobId}/checkpoints?limit=1`));
  return page.data[0]?.step_number ?? null;
}

/** Writes the adapter's files of a step into a folder. Throws `corrupt`, `storage`, or as `ApiClient`. */
export async function downloadCheckpoint(
  api: Pick<ApiClient, "json" | "downloadTo">,
  jobId: string,
  step: number,
  folder: string,
): Promise<void> {
  const { data } = artifactsSchema.parse(
    await api.json(`/v1/fine_tuning/jobs/${jobId}/artifacts?step=${step}`),
  );
  await Deno.mkdir(folder, { recursive: true }).catch((cause) => {
    throw new LoraFleetError("storage", `cannot write into ${quote(folder)}: ${messageOf(cause)}`, { cause });
  });
  for (const { name, url, sha256 } of data) {
    await api.downloadTo(url, join(folder, assertPlainName(name)), sha256);
  }
}

/** The coordinator may be a stranger's: its files stay in the folder. Throws `invalid_request`. */
export function assertPlainName(name: string): string {
  if (/^(?!\.)[^/\\\0]+$/.test(name)) return name;
  throw new LoraFleetError("invalid_request", `a file is called ${quote(name)}; a plain name is needed`);
}
