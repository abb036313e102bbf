/**
 * A job that is checked, prepared and planned, and not created: what it would train on, whether it fits, how long it takes
 * and what it costs. Config and tokenizer are enough; the base model's weights are neither needed nor downloaded. The prepared
 * rows stay in the cache, so that the job itself finds them.
 */
import type { ParsedJobRequest } from "../job_request/parse.ts";
import type { WorkerView } from "../fleet/fleet.ts";
import { EXPORT_KINDS, type ExportKind } from "../../shared/job/export_kinds.ts";
import { exportObstacle } from "../../shared/gguf/obstacle/obstacle.ts";
import { readTransformerSpec } from "../base_models/model_check.ts";
import type { JobServiceOptions } from "../jobs/job_context.ts";
import { dataOf, validationFilesOf } from "../jobs/job_data.ts";
import { checkStepsLeft } from "../jobs/results/resumed.ts";
import { checkSubmission } from "../jobs/submission.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";
import type { PreparedJob } from "../planning/preparer.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { type BusyWorkers, busyWorkers, idleWarning } from "../planning/schedule/busy_workers.ts";
import { cardNamed, cardOf, CARDS, usableBytes } from "./cards.ts";
import { estimateMemory, type MemoryEstimate } from "./memory_estimate.ts";
import { estimateTime, measuredSpeed, type Speed, type TimeEstimate } from "./time_estimate.ts";

export interface DryRunQuestion {
  /** Of the whole fleet; null: as measured. */
  readonly tokensPerSecond: number | null;
  /** That the given speed is of; null: one. */
  readonly workers: number | null;
  /** Of one worker. */
  readonly pricePerHour: number | null;
  /** Memory of a card that the table lacks. */
  readonly gpuGib: number | null;
}

export interface DryRun {
  readonly model: string;
  readonly training_file: string;
  readonly dataset: {
    readonly examples: number;
    readonly rows: number;
    readonly tokens: number;
    readonly trained_tokens: number;
    readonly trained_tokens_per_example: number;
    readonly truncated_rows: number;
    readonly longest_document: number;
    readonly packing_efficiency: number;
  };
  readonly masks: PreparedJob["report"]["masks"];
  readonly total_steps: number;
  /** Tokens that pass through the model in the whole run; of a job that goes on from a training state, in what is left. */
  readonly total_tokens: number;
  readonly memory: {
    readonly workers: readonly MemoryEstimate[];
    readonly cards: readonly MemoryEstimate[];
  };
  readonly time: TimeEstimate;
  /** How many of the workers that are there a step keeps busy; null if there are none. */
  readonly busy: BusyWorkers | null;
  readonly exports: readonly PossibleExport[];
  /** One sentence each. */
  readonly warnings: readonly string[];
}

/** A form in which the result can be had, or what is in its way. */
interface PossibleExport {
  readonly kind: ExportKind;
  readonly obstacle: string | null;
}

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
    const { report, totalSteps } = await parts.prepare(request);
    checkStepsLeft(request.spec, totalSteps);
    const planned = await parts.plan(request);
    using _files = planned.files;
    const workers = parts.workers().filter(({ state }) => state !== "lost");
    const idle = workers.length === 0 ? null : idleWarning(job.spec, workers.length);
    if (idle !== null) warnings.push(idle);
    const tokens = tokensLeft(planned);
    const speed = givenSpeed(question) ?? measuredSpeed(store, job.spec.model);
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

function givenSpeed({ tokensPerSecond, workers }: DryRunQuestion): Speed | null {
  return tokensPerSecond === null ? null : { tokensPerSecond, workers: workers ?? 1, source: "given" };
}

async function estimateMemories(
  planned: PlannedJob,
  folder: string,
  workers: readonly WorkerView[],
  gpuGib: number | null,
): Promise<DryRun["memory"]> {
  const model = await readTransformerSpec(folder);
  const cards = [...gpuGib === null ? [] : [cardOf(gpuGib)], ...CARDS];
  return {
    workers: workers.map(({ name, gpu }) => {
      const card = cardNamed(gpu);
      return estimateMemory(`${name}: ${gpu}`, model, planned, card === null ? null : usableBytes(card));
    }),
    cards: cards.map((card) => estimateMemory(card.name, model, planned, usableBytes(card))),
  };
}
