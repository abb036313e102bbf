/** Whether the results that are asked for can come to be: known before hours of training. */
import { z } from "zod";
import { LoraFleetError } from "../../shared/errors.ts";
import { exportObstacle, isGguf } from "../../shared/gguf/obstacle/obstacle.ts";
import type { ExportKind } from "../../shared/job/export_kinds.ts";
import type { ApiClient } from "../client/api_client.ts";
import type { JobBody } from "./job_body.ts";

const answerSchema = z.object({
  exports: z.array(z.object({ kind: z.string(), obstacle: z.string().nullable() })).default([]),
});

/** Throws `usage` for a result that a base model in a folder here cannot become. */
export async function checkExports(kinds: readonly ExportKind[], folder: string | null): Promise<void> {
  for (const kind of folder === null ? [] : kinds) {
    const obstacle = await exportObstacle(kind, folder!);
    if (obstacle !== null) throw impossible(kind, obstacle);
  }
}

/**
 * The same for a base model that only the coordinator has: by a dry run, whose prepared rows the job finds. Throws as `checkExports`,
 * and what creating the job would throw.
 */
export async function checkExportsThere(
  kinds: readonly ExportKind[],
  api: Pick<ApiClient, "post">,
  body: JobBody,
): Promise<void> {
  if (!kinds.some(isGguf)) return;
  const { exports } = answerSchema.parse(await api.post("/v1/fine_tuning/jobs?dry_run=true", body));
  const found = exports.find(({ kind, obstacle }) =>
    obstacle !== null && kinds.some((asked) => asked === kind)
  );
  if (found !== undefined) throw impossible(found.kind, found.obstacle!);
}

function impossible(kind: string, obstacle: string): LoraFleetError {
  return new LoraFleetError("usage", `--export ${kind}: ${obstacle}`, { param: "export" });
}
