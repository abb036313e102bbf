/**
 * A job that is checked, prepared and planned, and not created: what it would train on, whether it fits, how long it takes
 * and what it costs. Config and tokenizer are enough; the base model's weights are neither needed nor downloaded. The prepared
 * rows stay in the cache, so that the job itself finds them.
 */
import type { ParsedJobRequest } from "../job_request/parse.ts";
import type { WorkerView } from "../fleet/fleet.ts";
import { EXPORT_KINDS } from "../../shared/job/export_kinds.ts";
import { exportObstacle } from "../../shared/gguf/obstacle/obstacle.ts";
import type { JobServiceOptions } from "../jobs/job_context.ts";
import { dataOf, validationFilesOf } from "../jobs/job_data.ts";
import { checkStepsLeft } from "../jobs/results/resumed.ts";
import { checkSubmission } from "../jobs/submission.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";
import type { PreparedJob } from "../planning/preparer.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { busyWorkers, idleWarning } from "../planning/schedule/busy_workers.ts";
import { hasTokenizer } from "../../shared/data/tokenizer/files/tokenizer_files.ts";
import { estimateMemories } from "./fleet_memory.ts";
import type { DryRun, DryRunQuestion, PossibleExport } from "./dry_run_answer.ts";
import { planByConfig } from "./plan_by_config.ts";
import { estimateTime, speedFor } from "./time_estimate.ts";

type DryRunParts =
  & Pick<
    JobServiceOptions,
    | "store"
    | "files"
    | "artifacts"
    | "models"
    | "datasets"
    | "clock"
    | "newId"
    | "checkModel"
    | "admitTracking"
    | "admitAfterwards"
    | "plan"
  >
  & { readonly prepare: (request: PrepareRequest) => Promise<PreparedJob> }
  & { readonly workers: () => readonly WorkerView[] };

export type RunDry = (
  request: ParsedJobRequest,
  question: DryRunQuestion,
  signal: AbortSignal,
) => Promise<DryRun>;

/** The result throws what creating or preparing the job would throw, or the signal's reason. */
export function createDryRuns(parts: DryRunParts): RunDry {
  const { store, models } = parts;
  return async (parsed, question, signal) => {
    const warnings: string[] = [];
    const checkModel: typeof parts.checkModel = (spec, folder) => parts.checkModel(spec, folder, "if there");
    const { job, events } = await checkSubmission({ ...parts, checkModel }, parsed);
    for (const { level, message } of events) if (level === "warn") warnings.push(message);
    const model = await models.describe(job.spec.model, { signal });
    // The submission has checked a local base model; one on a hub has only now a folder.
    const checked = model.isFromHub === true ? await checkModel(job.spec, model.folder) : null;
    warnings.push(...checked?.warnings ?? []);
    const request: PrepareRequest = {
      id: job.id.replace(/^ftjob/, "dryrun"),
      spec: checked?.spec ?? job.spec,
      model,
      ...await dataOf(parts, job.spec, { signal }),
      validationFiles: await validationFilesOf(parts, job, { signal }),
      signal,
      event: (level, message) => void (level === "warn" && warnings.push(message)),
    };
    if (!await hasTokenizer(model.folder)) {
      const known = { model: parsed.spec.model, training_file: job.spec.training_file };
      return { ...known, ...await planByConfig(parts, request, question, warnings) };
    }
    const { report, totalSteps } = await parts.prepare(request);
    checkStepsLeft(request.spec, totalSteps);
    const planned = await parts.plan(request);
    using _files = planned.files;
    const workers = parts.workers().filter(({ state }) => state !== "lost");
    const idle = workers.length === 0 ? null : idleWarning(job.spec, workers.length);
    if (idle !== null) warnings.push(idle);
    const tokens = tokensLeft(planned);
    const speed = speedFor(question, store, job.spec.model);
    return {
      model: parsed.spec.model,
      training_file: job.spec.training_file,
      dataset: {
        examples: report.exampleCount,
        rows: report.rowCount,
        tokens: report.tokenCount,
        trained_tokens: report.trainedTokenCount,
        trained_tokens_per_example: report.trainedTokenCount / report.exampleCount,
        truncated_rows: report.truncatedRowCount,
        longest_document: report.longestDocument,
        packing_efficiency: report.packingEfficiency,
      },
      masks: report.masks,
      total_steps: totalSteps,
      total_tokens: tokens,
      memory: await estimateMemories(planned, model.folder, workers, question.gpuGib),
      time: estimateTime(tokens, speed, question.pricePerHour),
      busy: workers.length === 0 ? null : busyWorkers(job.spec, workers.length),
      exports: await possibleExports(model.folder),
      warnings,
    };
  };
}

/** Tokens of all steps that the job takes: of a job that goes on, those behind the earlier one's state. */
function tokensLeft({ spec, local, totalSteps, tokensThrough }: PlannedJob): number {
  const through = (step: number) => tokensThrough(step === 0 ? 0 : local?.dataStepsOf(step).last ?? step);
  return through(totalSteps) - through(spec.resumed_state?.step ?? 0);
}

async function possibleExports(folder: string): Promise<PossibleExport[]> {
  return await Promise.all(
    EXPORT_KINDS.map(async (kind) => ({ kind, obstacle: await exportObstacle(kind, folder) })),
  );
}
