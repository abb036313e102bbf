/** Everything that an export's process needs: the adapter, and the base model that it was trained on. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { parseHubName } from "../../../shared/hub/repo_name.ts";
import { downloadEvents } from "../../base_models/download_events.ts";
import type { JobRecord } from "../../jobs/record/job.ts";
import { isTokenizerFile } from "../../jobs/results/tokenizer_results.ts";
import { ADAPTER_FILENAME } from "../../jobs/results/tuned_models.ts";
import type { CheckpointRecord, JobStore } from "../../jobs/stores/job_store.ts";
import { lossesOf } from "../card/card_facts.ts";
import { withoutDrift } from "../card/drift_section.ts";
import { modelCard } from "../card/model_card.ts";
import type { ExportServiceOptions } from "./export_context.ts";
import type { ExportTask } from "../process/export_messages.ts";
import type { ExportRecord } from "../record/export_record.ts";
import { isMeasured } from "../record/export_request.ts";

const ADAPTER_CONFIG = "adapter_config.json";

type Parts = Pick<ExportServiceOptions, "store" | "jobs" | "artifacts" | "models" | "clock">;

/** Rejects with `conflict` if the base model has changed since the training, and as `ModelRegistry.resolve`. */
export async function exportTaskOf(
  { store, jobs, artifacts, models, clock }: Parts,
  { jobId, request }: ExportRecord,
  signal: AbortSignal,
): Promise<Omit<ExportTask, "outputFolder">> {
  const job = jobs.get(jobId);
  const checkpoint = checkpointAt(store, jobId, request.step);
  const pathOf = (name: string) => {
    const file = checkpoint.files.find((stored) => stored.name === name);
    if (file !== undefined) return artifacts.path(jobId, checkpoint.step, file);
    throw new LoraFleetError("not_found", `the checkpoint of step ${checkpoint.step} has no ${quote(name)}`);
  };
  const [adapterPath, adapterConfigPath] = [await pathOf(ADAPTER_FILENAME), await pathOf(ADAPTER_CONFIG)];
  const onProgress = downloadEvents(clock, job.spec.model, (message) => jobs.record(jobId, "info", message));
  const model = await models.resolve(job.spec.model, { signal, onProgress });
  assertUnchanged(job, model.manifest.hash);
  const name = resultName(job);
  const card = modelCard({
    ...{ job, request, name },
    losses: lossesOf(store, jobId, request.step),
    hubName: model.isFromHub === true ? parseHubName(job.spec.model)?.repo ?? null : null,
    trainingFilename: job.spec.dataset.path ?? store.file(job.spec.training_file)?.filename ?? null,
  });
  return {
    ...{ request, adapterPath, adapterConfigPath, name },
    card: isMeasured(request) ? withoutDrift(card, "no worker has measured it yet") : card,
    modelFolder: model.folder,
    modelName: job.spec.model,
    tokenizerFiles: model.manifest.files.map((file) => file.name).filter(isTokenizerFile),
    lora: job.spec.lora,
    doubleQuantization: job.spec.quantization.bnb_4bit_use_double_quant,
  };
}

/** Throws `not_found`. */
export function checkpointAt(
  store: Pick<JobStore, "checkpoints">,
  jobId: string,
  step: number,
): CheckpointRecord {
  const { items } = store.checkpoints(jobId, { after: null, limit: Number.MAX_SAFE_INTEGER });
  const found = items.find((checkpoint) => checkpoint.step === step);
  if (found !== undefined) return found;
  throw new LoraFleetError("not_found", `the checkpoint of step ${step} was deleted`, { param: "step" });
}

/** Throws `conflict` unless `hash` is that of the base model's files at the training. Jobs of earlier versions are trusted. */
export function assertUnchanged({ spec, modelHash }: JobRecord, hash: string): void {
  if (modelHash === undefined || modelHash === hash) return;
  const message =
    `the base model ${
      quote(spec.model)
    } has changed since the job was trained: the SHA-256 of its files is ` +
    `${hash}, the job was trained on ${modelHash}. Restore the files, or name a fixed revision ` +
    `(org/name@revision) in the next job`;
  throw new LoraFleetError("conflict", message, { param: "model" });
}

/** The job's suffix, or the base model's last name and the job: letters, digits, dots and hyphens. */
export function resultName({ id, spec, suffix }: JobRecord): string {
  const base = spec.model.replace(/@[^@/]*$/, "").split("/").findLast((part) => part !== "") ?? "model";
  return `${base}-${suffix ?? id.slice(0, 14)}`.replaceAll(/[^A-Za-z0-9._-]+/g, "-");
}
