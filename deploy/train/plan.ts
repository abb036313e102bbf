/** `deno task plan`: a dry run on a coordinator, as text. */
import { dirname, join } from "@std/path";
import { z } from "zod";
import { LoraFleetError } from "../../shared/errors.ts";
import { ApiClient } from "../client/api_client.ts";
import type { CommandContext } from "../machine/command.ts";
import { childEnvironment } from "../machine/environment.ts";
import { startCoordinator } from "../machine/fleet.ts";
import { ensureSetup } from "../setup/ensure.ts";
import { formatPlan, planSchema } from "./format_plan.ts";
import { checkRows } from "./first_checks.ts";
import { jobBody, mergeBodies } from "./job_body.ts";
import type { PlanOptions } from "./options.ts";
import { localFolder, uploaded } from "./train.ts";

/** Returns the plan as text. */
export async function plan(
  options: PlanOptions,
  context: CommandContext & { readonly apiKey: string | null },
): Promise<string> {
  const { progress, signal, apiKey, workFolder } = context;
  const folder = await localFolder(options.model);
  await checkRows(options);
  const fields = await jobBody(options, folder ?? options.model);
  const api = options.coordinatorUrl === null
    ? await startOwn(folder, context, workFolder)
    : new ApiClient(options.coordinatorUrl, signal, apiKey);
  const body = mergeBodies(fields, await uploaded(options, api, progress));
  const query = new URLSearchParams({ dry_run: "true" });
  const given = {
    gpu_gib: options.gpuGib,
    tokens_per_second: options.tokensPerSecond,
    workers: options.workerCount,
    price_per_hour: options.price,
  };
  for (const [name, value] of Object.entries(given)) if (value !== null) query.set(name, String(value));
  const answer = planSchema.safeParse(await api.post(`/v1/fine_tuning/jobs?${query}`, body));
  if (answer.success) return formatPlan(answer.data);
  throw new LoraFleetError(
    "invalid_request",
    `the coordinator's plan cannot be read: ${z.prettifyError(answer.error)}`,
  );
}

async function startOwn(
  folder: string | null,
  context: CommandContext,
  workFolder: string,
): Promise<ApiClient> {
  const { progress, signal, children } = context;
  // Nothing is computed on the GPU.
  const { natsServerPath } = await ensureSetup({ log: progress.note, ignoreGpu: true });
  const env = childEnvironment(Deno.env.toObject(), natsServerPath);
  const { joinUrl } = await startCoordinator(children, env, {
    dataFolder: join(workFolder, "coordinator"),
    modelRoot: folder === null ? null : dirname(folder),
  });
  return new ApiClient(new URL(joinUrl).origin, signal);
}
