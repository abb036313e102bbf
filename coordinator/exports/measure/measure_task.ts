/** What a worker needs to measure a merge: where its base model, its adapter and the rows are. */
import { createHash } from "node:crypto";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { encodeMicroBatch } from "../../../shared/protocol/micro_batch_codec.ts";
import { type MeasureTask, ROWS_FILENAME } from "../../../shared/protocol/messages_measure.ts";
import { ADAPTER_FILENAME } from "../../jobs/results/tuned_models.ts";
import { PRIVATE_FILE_MODE } from "../../storage/private_folder.ts";
import type { RecordedFile } from "../../storage/verified_file.ts";
import type { ExportServiceOptions } from "../work/export_context.ts";
import { assertUnchanged, checkpointAt } from "../work/export_task.ts";
import type { ExportRecord } from "../record/export_record.ts";
import { chooseRows } from "./measure_rows.ts";

const ADAPTER_FILES = [ADAPTER_FILENAME, "adapter_config.json"];

export type ServedFile = RecordedFile & { readonly path: string; readonly filename: string };

/** A measurement that is ready for its worker. */
export interface PreparedMeasurement {
  readonly task: MeasureTask;
  readonly files: readonly ServedFile[];
}

/** Rejects with `conflict` if the base model has changed, `not_found` for what was deleted, and as preparing the job's data. */
export async function prepareMeasurement(
  options: Pick<ExportServiceOptions, "jobs" | "store" | "artifacts" | "exports">,
  { id, jobId, request }: ExportRecord,
  attempt: number,
  signal: AbortSignal,
): Promise<PreparedMeasurement> {
  const { jobs, store, artifacts, exports } = options;
  const plan = await jobs.plan(jobId, signal);
  assertUnchanged(jobs.get(jobId), plan.model.hash);
  const { batch, rowsOf, available } = chooseRows(plan);
  const checkpoint = checkpointAt(store, jobId, request.step);
  const files: ServedFile[] = [];
  for (const name of ADAPTER_FILES) {
    const file = checkpoint.files.find((stored) => stored.name === name);
    if (file === undefined) {
      throw new LoraFleetError(
        "not_found",
        `the checkpoint of step ${request.step} has no ${quote(name)}`,
      );
    }
    const { size, sha256 } = file;
    files.push({
      size,
      sha256,
      filename: name,
      path: await artifacts.path(jobId, checkpoint.step, file),
    });
  }
  files.push(await writeRows(exports.rowsPathOf(id), encodeMicroBatch(batch)));
  const { lora, quantization } = plan.spec;
  const task: MeasureTask = {
    ...{ exportId: id, jobId, attempt, lora, rowsOf, rowsAvailable: available },
    ...{ model: plan.model, modelFolder: plan.modelFolder },
    doubleQuantization: quantization.bnb_4bit_use_double_quant,
    ...{ base: request.base ?? "nf4", dtype: request.dtype },
    files: files.map(({ filename: name, size, sha256 }) => ({ name, size, sha256 })),
  };
  return { task, files };
}

async function writeRows(path: string, bytes: Uint8Array): Promise<ServedFile> {
  await Deno.writeFile(path, bytes, { mode: PRIVATE_FILE_MODE });
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { filename: ROWS_FILENAME, path, size: bytes.length, sha256 };
}
