/** Measures a merge that the coordinator asks about, from the files it sends to the result it gets. */
import { join } from "@std/path";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import {
  type Measurement,
  type MeasureOutcome,
  type MeasureTask,
  ROWS_FILENAME,
} from "../../shared/protocol/messages_measure.ts";
import type { Runtime } from "../async/runtime.ts";
import type { BaseModels } from "../transfer/base_model.ts";
import type { CoordinatorApi, Fetch } from "../transfer/http.ts";
import { fetchMeasureFiles, fetchMeasureTask, sendMeasured } from "../transfer/measure_files.ts";
import { measureInThread } from "./measure_client.ts";

/** Of the trained model's passes. */
const MAX_MILLISECONDS = 300_000;
const MAX_REASON_LENGTH = 2000;

interface ExportMeasurerOptions extends Runtime {
  readonly cacheFolder: string;
  readonly fetch: Fetch;
  readonly models: Pick<BaseModels, "find">;
  readonly allowCpu: boolean;
  /** Default: a thread of its own. */
  readonly measure?: typeof measureInThread;
}

/** `api` gives the newest address and token. Rejects with the signal's reason; a failure is handed in like a result. */
export function createExportMeasurer(options: ExportMeasurerOptions) {
  const { log } = options;
  return async (api: () => CoordinatorApi, { exportId, attempt }: Measurement, signal: AbortSignal) => {
    let task: MeasureTask;
    try {
      task = await fetchMeasureTask(options, api(), exportId, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      return log("warn", messageOf(thrown));
    }
    log("info", `measuring the merge of export ${exportId} of job ${task.jobId}`);
    const outcome = await outcomeOf(options, api, task, signal).catch((thrown): MeasureOutcome => {
      signal.throwIfAborted();
      const reason = messageOf(thrown).slice(0, MAX_REASON_LENGTH);
      log("error", `export ${exportId} cannot be measured here: ${reason}`);
      const code = thrown instanceof LoraFleetError ? thrown.code : "internal_error";
      return { type: "failed", attempt, code, reason };
    });
    await sendMeasured(options, api, exportId, outcome, signal);
    if (outcome.type === "measured") log("info", `the merge of export ${exportId} is measured`);
  };
}

async function outcomeOf(
  options: ExportMeasurerOptions,
  api: () => CoordinatorApi,
  task: MeasureTask,
  signal: AbortSignal,
): Promise<MeasureOutcome> {
  const { cacheFolder, models, allowCpu, measure = measureInThread } = options;
  await Deno.mkdir(cacheFolder, { recursive: true });
  const folder = await Deno.makeTempDir({ dir: cacheFolder, prefix: "measure-" });
  try {
    await fetchMeasureFiles(options, api(), task, folder, signal);
    const { lora, doubleQuantization, base, dtype, rowsOf, rowsAvailable } = task;
    const drift = await measure({
      ...{ lora, doubleQuantization, base, dtype, allowCpu, maxMilliseconds: MAX_MILLISECONDS },
      modelFolder: await models.find(api(), task, signal),
      adapterFolder: folder,
      rowsPath: join(folder, ROWS_FILENAME),
    }, signal);
    const available = rowsAvailable === null ? {} : { rows_available: rowsAvailable };
    return { type: "measured", attempt: task.attempt, drift: { ...drift, ...available, rows_of: rowsOf } };
  } finally {
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
}
