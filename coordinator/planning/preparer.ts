/** From a job to its plan: prepares the data, checks what only the data shows, and plans the steps. */
import type { Clock } from "../../shared/clock.ts";
import { counted } from "../../shared/counted.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { checkLongestDocument } from "../base_models/model_check.ts";
import { planJob, planSteps } from "./plan_job.ts";
import type { PlannedJob } from "./planned_job.ts";
import { datasetOf, heldOutOf } from "./preparation/dataset_part.ts";
import { createAttempts } from "./preparation/attempts.ts";
import { createPreparations, findPrepared } from "./preparation/find_prepared.ts";
import { runPreparationChild } from "./preparation/preparation_child.ts";
import { preparationKey, sourcesHash } from "./preparation/preparation_key.ts";
import type { PartRequest, PrepareRequest } from "./preparation/prepare_request.ts";
import { trainingPart, validationPart } from "./preparation/prepare_request.ts";
import { type LoadedRows, openPreparedCache, type PreparedCache } from "./preparation/prepared_cache.ts";
import type { DatasetReport } from "./preparation/prepared_file.ts";
import { checkLearnable } from "./schedule/learnable.ts";
import { describeLocal, localWarnings } from "./schedule/local_plan.ts";

/** That rows are damaged only shows once all are read. A disk on which they are each time is not one to train from. */
const MAX_LOADS = 3;

export interface PreparedJob {
  readonly totalSteps: number;
  readonly report: DatasetReport;
}

export interface Preparer {
  /**
   * Reads the whole dataset, unless that was done before, and reports it to the user. Rejects with a `LoraFleetError` that names
   * the line, field or file at fault, or with the signal's reason.
   */
  prepare(request: PrepareRequest): Promise<PreparedJob>;
  /** Prepares the data of a job again if the cache has lost it, so that `plan` need not wait. */
  warm(request: PrepareRequest): Promise<void>;
  /** The plan of a prepared job; prepares its data again if the cache has lost it. Dispose of its files. */
  plan(request: PrepareRequest): Promise<PlannedJob>;
}

/**
 * @param folder for prepared rows and pending attempts; used by this process alone
 * @param run replaces the preparation's process in tests
 * @param version of the code that prepares
 */
export async function openPreparer(
  folder: string,
  clock: Clock,
  run = runPreparationChild,
  version?: string,
): Promise<Preparer> {
  version ??= await sourcesHash();
  const cache = await openPreparedCache(folder, clock);
  const preparations = createPreparations({
    cache,
    clock,
    run,
    attempts: createAttempts(`${folder}/attempts`),
  });
  const keyOf = (request: PartRequest) => keyOfPart(request, version);
  /** What `find` finds for a part of the job's data, after its preparation if necessary. */
  const find = async <T>(
    request: PartRequest,
    isUrgent: boolean,
    find: (key: string) => Promise<T | null>,
  ): Promise<T> => {
    const key = await keyOf(request);
    const found = await findPrepared(preparations, request, key, isUrgent, () => find(key));
    request.signal.throwIfAborted();
    return found;
  };
  const load = async (request: PartRequest) =>
    await loadRows(cache, await keyOf(request), () => find(request, true, cache.touch));

  return {
    async prepare(request) {
      const { spec, model, event } = request;
      const report = await find(trainingPart(request), false, cache.report);
      reportDataset(report, spec, event);
      const validation = validationPart(request);
      const evaluated = validation === null ? null : await find(validation, false, cache.report);
      if (evaluated !== null) reportEvaluated(evaluated, spec, event);
      const longest = Math.max(report.longestDocument, evaluated?.longestDocument ?? 0);
      await checkLongestDocument(spec, model.folder, longest);
      return { totalSteps: checkSteps(report, spec, event), report };
    },

    async warm(request) {
      for (const part of [trainingPart(request), validationPart(request)]) {
        if (part !== null) await find(part, false, cache.touch);
      }
    },

    async plan(request) {
      using files = new DisposableStack();
      const { rows, lost } = files.use(await load(trainingPart(request)));
      const validation = validationPart(request);
      const evaluated = validation === null ? null : files.use(await load(validation));
      const plan = planJob({
        ...{ id: request.id, spec: request.spec, rows, model: request.model.manifest },
        modelFolder: request.model.folder,
        datasetSha256: request.trainingFile.sha256,
        validation: evaluated && { rows: evaluated.rows, sha256: validationSha256(validation!) },
      });
      return {
        ...plan,
        files: Object.assign(files.move(), { lost: AbortSignal.any([lost, evaluated?.lost ?? lost]) }),
      };
    },
  };
}

/** @param prepare makes sure that there are rows, which may be damaged */
async function loadRows(
  cache: PreparedCache,
  key: string,
  prepare: () => Promise<unknown>,
): Promise<LoadedRows> {
  for (let attempt = 1; attempt <= MAX_LOADS; attempt++) {
    await prepare();
    const loaded = await cache.load(key);
    if (loaded !== null) return loaded;
  }
  throw new LoraFleetError("storage", "the prepared rows of the dataset are lost again and again");
}

function keyOfPart({ spec, part, model, files }: PartRequest, version: string) {
  const held = heldOutOf(spec);
  return preparationKey({
    ...{ files, dataset: datasetOf(spec, part), model, version },
    drawn: held === null ? null : { ...held, part },
  });
}

/** Of the files with the rows to evaluate. */
function validationSha256({ files }: PartRequest): string {
  return files.map(({ sha256, path }) => sha256 ?? path).join(" ");
}

/** Returns the number of steps. Throws if they cannot move the adapter. */
function checkSteps(report: DatasetReport, spec: JobSpec, event: PrepareRequest["event"]): number {
  const { local, totalSteps } = planSteps(spec, report.rowCount);
  const dataSteps = local?.totalDataSteps ?? totalSteps;
  for (const warning of checkLearnable(spec, dataSteps, report)) event("warn", warning);
  if (local !== null) {
    event("info", describeLocal(local, spec));
    for (const warning of localWarnings(local, spec)) event("warn", warning);
  }
  return totalSteps;
}

/** The rows that are evaluated. */
function reportEvaluated(
  { exampleCount: rows, trainedTokenCount: tokens, warnings }: DatasetReport,
  { training, dataset }: JobSpec,
  event: PrepareRequest["event"],
): void {
  for (const warning of warnings) {
    const named = dataset.eval_split === undefined
      ? warning
      : warning.replace("dataset.split", "dataset.eval_split");
    event("warn", `The rows to evaluate: ${named}`);
  }
  const { eval_strategy: strategy, eval_steps: every = 0 } = training;
  const share = every < 1 ? `${100 * every}% of the steps` : counted(every, "step");
  const when = strategy === "epoch" ? "each epoch" : every === 1 ? "each step" : `every ${share}`;
  event(
    "info",
    `${counted(rows, "row")} with ${counted(tokens, "token")} that ${
      tokens === 1 ? "counts" : "count"
    } in the loss ` +
      `will be evaluated after ${when}, and at the end.`,
    { eval_rows: rows, eval_tokens: tokens },
  );
}

function reportDataset(report: DatasetReport, { dataset }: JobSpec, event: PrepareRequest["event"]): void {
  for (const warning of report.warnings) event("warn", warning);
  const percent = (100 * report.packingEfficiency).toFixed(1);
  const { exampleCount: examples, rowCount: rows, tokenCount: tokens, trainedTokenCount: trained_tokens } =
    report;
  event(
    "info",
    `${counted(examples, "example")} in ${counted(rows, "row")} of up to ${dataset.max_seq_length} tokens ` +
      `(${percent}% filled): ${tokens} tokens an epoch, ${trained_tokens} of them trained on.`,
    {
      ...{ examples, rows, tokens, trained_tokens, truncated_rows: report.truncatedRowCount },
      packing_efficiency: report.packingEfficiency,
    },
  );
}
