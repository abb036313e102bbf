/**
 * From a job to its plan: its rows come from the cache, or from a preparation in a process of its own, at most two at a time and
 * one for each key. Nothing here takes the event loop for long, however large the dataset is.
 */
import type { Clock } from "../../shared/clock.ts";
import { counted } from "../../shared/counted.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { JobSpec } from "../../shared/job/job_spec.ts";
import { checkLearnable } from "./schedule/learnable.ts";
import { planJob, planSteps } from "./preparation/dataset.ts";
import type { PlannedJob } from "./planned_job.ts";
import { describeLocal, localWarnings } from "./schedule/local_plan.ts";
import type { runPreparationChild } from "./preparation/preparation_child.ts";
import type { Attempts } from "./preparation/attempts.ts";
import { preparationKey } from "./preparation/preparation_key.ts";
import type { PreparedCache } from "./preparation/prepared_cache.ts";
import type { DatasetReport } from "./preparation/prepared_file.ts";
import { createKeyedTurns, createTurns } from "./preparation/turns.ts";
import type { ResolvedModel } from "../base_models/registry.ts";
import type { RecordedFile } from "../storage/verified_file.ts";

/** More would take memory from the coordinator, and the cores from a worker beside it. */
const PREPARATIONS_AT_A_TIME = 2;
/** A user who waits for minutes shall see that it goes on; nobody needs thousands of such events. */
const PROGRESS_EVENT_MS = 10_000;
/** So many processes may end while they prepare the same job: once may be anybody's fault. */
const MAX_ENDS = 2;
/** Between two looks at a disk that is full. */
const FULL_DISK_PAUSE_MS = 5000;
/** Refusals that are remembered, newest last. */
const MAX_REFUSALS = 1000;

export interface PrepareRequest {
  readonly id: string;
  readonly spec: JobSpec;
  readonly model: ResolvedModel;
  readonly trainingFile: RecordedFile & { readonly filename: string };
  readonly trainingFilePath: string;
  readonly signal: AbortSignal;
  /** For what a user should know: how much data there is, rows that were truncated, a stop token that is not trained. */
  readonly event: (level: "info" | "warn", message: string, data?: Record<string, unknown>) => void;
}

export interface PreparerOptions {
  readonly cache: PreparedCache;
  readonly attempts: Attempts;
  readonly clock: Clock;
  /** As `sourcesHash` gives it. */
  readonly version: string;
  readonly run: typeof runPreparationChild;
  readonly checkModel: (spec: JobSpec, folder: string) => Promise<unknown>;
  readonly checkWindow: (spec: JobSpec, folder: string, longestDocument: number) => Promise<void>;
}

export interface Preparer {
  /**
   * Reads the whole dataset, unless that was done before, and tells the user of it. Rejects with a `LoraFleetError` that names
   * line, field or file at fault, and with the signal's reason.
   */
  prepare(request: PrepareRequest): Promise<{ readonly totalSteps: number }>;
  /** Makes sure that the plan of a job that was prepared before will not have to wait for its data. */
  warm(request: PrepareRequest): Promise<void>;
  /** The plan of a job that was prepared: from the cache, or prepared once more where that has lost it. */
  plan(request: PrepareRequest): Promise<PlannedJob>;
}

export function createPreparer(options: PreparerOptions): Preparer {
  const { cache, attempts, clock, version, run, checkModel, checkWindow } = options;
  const turnOf = createKeyedTurns();
  const processes = createTurns(PREPARATIONS_AT_A_TIME);
  /** By key: the same file is refused for the same reason, without another look at it. */
  const refusals = new Map<string, LoraFleetError>();

  const keyOf = ({ spec, model, trainingFile }: PrepareRequest) =>
    preparationKey({ fileSha256: trainingFile.sha256, dataset: spec.dataset, model, version });

  /** What `find` finds of a key in the cache, after a preparation where it finds nothing. */
  async function found<T>(
    request: PrepareRequest,
    key: string,
    isUrgent: boolean,
    find: () => Promise<T | null>,
  ): Promise<T> {
    const { id, spec, model, signal } = request;
    const endTurn = await turnOf(key)(signal);
    try {
      if (await attempts.begin(id) >= MAX_ENDS) {
        throw new Error(
          `the coordinator has ended ${MAX_ENDS} times while it prepared this job's data, and does not try it again; see its ` +
            `log for the reason, and create the job anew once that is mended`,
        );
      }
      const known = await find();
      if (known !== null) {
        await checkModel(spec, model.folder);
        return known;
      }
      const refusal = refusals.get(key);
      if (refusal !== undefined) throw refusal;
      await runProcess(request, key, isUrgent);
      const made = await find();
      if (made !== null) return made;
      throw new LoraFleetError(
        "storage",
        "the prepared rows of the dataset were lost as soon as they were written",
      );
    } finally {
      await attempts.end(id);
      endTurn();
    }
  }

  async function runProcess(request: PrepareRequest, key: string, isUrgent: boolean): Promise<void> {
    const { spec, model, trainingFile, trainingFilePath, signal } = request;
    const end = await (isUrgent ? processes.urgent : processes.next)(signal);
    let toldAt = clock.now();
    const onProgress = (bytes: number) => {
      if (clock.now() - toldAt < PROGRESS_EVENT_MS || signal.aborted) return;
      toldAt = clock.now();
      const percent = Math.floor(100 * bytes / Math.max(1, trainingFile.size));
      request.event(
        "info",
        `Preparing the data: ${bytes} of ${trainingFile.size} bytes are tokenised (${percent}%).`,
        { bytes, total_bytes: trainingFile.size },
      );
    };
    try {
      const preparation = {
        ...{ spec, trainingFilePath, key },
        modelFolder: model.folder,
        fileSha256: trainingFile.sha256,
        outputPath: cache.pathOf(key),
      };
      await whileDiskIsFull(request, key, () => run(preparation, { clock, signal, onProgress }));
      await cache.trim(key);
    } catch (thrown) {
      if (isRefusal(thrown)) {
        refusals.set(key, thrown);
        if (refusals.size > MAX_REFUSALS) refusals.delete(refusals.keys().next().value!);
      }
      throw thrown;
    } finally {
      end();
    }
  }

  /** Space is somebody else's to make: the job waits for it, and takes none from others meanwhile. */
  async function whileDiskIsFull({ event, signal }: PrepareRequest, key: string, work: () => Promise<void>) {
    for (let attempt = 1;; attempt++) {
      try {
        return await work();
      } catch (thrown) {
        if (!isFullDisk(thrown)) throw thrown;
        if (attempt === 2) {
          event("warn", "The disk has no space for the prepared data: the job waits until there is some.");
        }
        // At once after the first time: what others have left behind may have been enough.
        if (attempt > 1) await clock.sleep(FULL_DISK_PAUSE_MS, signal);
        await cache.clear(key);
      }
    }
  }

  return {
    async prepare(request) {
      const { spec, model, signal, event } = request;
      const key = await keyOf(request);
      const report = await found(request, key, false, () => cache.report(key));
      signal.throwIfAborted();
      reportDataset(report, spec, event);
      await checkWindow(spec, model.folder, report.longestDocument);
      const { local, totalSteps } = planSteps(spec, report.rowCount);
      const dataSteps = local?.totalDataSteps ?? totalSteps;
      for (const warning of checkLearnable(spec, dataSteps, report)) event("warn", warning);
      if (local !== null) {
        event("info", describeLocal(local, spec));
        for (const warning of localWarnings(local, spec)) event("warn", warning);
      }
      return { totalSteps };
    },

    async warm(request) {
      const key = await keyOf(request);
      await found(request, key, false, () => cache.touch(key));
    },

    async plan(request) {
      const { id, spec, model, trainingFile, signal } = request;
      const key = await keyOf(request);
      const { rows } = await found(request, key, true, () => cache.load(key));
      signal.throwIfAborted();
      return planJob({
        ...{ id, spec, rows, model: model.manifest },
        modelFolder: model.folder,
        datasetSha256: trainingFile.sha256,
      });
    },
  };
}

/** What the same file and settings come to every time. The base model's faults are found by a job's own look at it. */
function isRefusal(thrown: unknown): thrown is LoraFleetError {
  return thrown instanceof LoraFleetError && thrown.code === "invalid_dataset";
}

function isFullDisk(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && thrown.code === "storage" &&
    /No space left|os error 28|quota exceeded|os error 122|not enough space/i.test(thrown.message);
}

function reportDataset(report: DatasetReport, { dataset }: JobSpec, event: PrepareRequest["event"]): void {
  for (const warning of report.warnings) event("warn", warning);
  const percent = (100 * report.packingEfficiency).toFixed(1);
  event(
    "info",
    `${counted(report.exampleCount, "example")} in ${
      counted(report.rowCount, "row")
    } of up to ${dataset.max_seq_length} tokens ` +
      `(${percent}% filled): ${report.tokenCount} tokens an epoch, ${report.trainedTokenCount} of them trained on.`,
    {
      examples: report.exampleCount,
      rows: report.rowCount,
      tokens: report.tokenCount,
      trained_tokens: report.trainedTokenCount,
      truncated_rows: report.truncatedRowCount,
      packing_efficiency: report.packingEfficiency,
    },
  );
}
