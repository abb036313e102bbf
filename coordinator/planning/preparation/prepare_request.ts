import type { DataFile } from "../../../shared/data/files/data_files.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { type DatasetPart, isEvaluated, sourceOf } from "./dataset_part.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import type { ResolvedModel } from "../../base_models/registry.ts";
import type { RecordedFile } from "../../storage/verified_file.ts";

/** A job whose data is to be prepared. */
export interface PrepareRequest {
  readonly id: string;
  readonly spec: JobSpec;
  readonly model: ResolvedModel;
  readonly trainingFile: RecordedFile & { readonly filename: string };
  readonly trainingFilePath: string;
  /** Files in place of the training file: those of a dataset on a hub. */
  readonly dataFiles?: readonly DataFile[];
  /** Files with the rows to evaluate, if they are not in the training files; null or left out: none. */
  readonly validationFiles?: readonly DataFile[] | null;
  readonly signal: AbortSignal;
  /** Events for the user: the amount of data, truncated rows, a stop token without a label. */
  readonly event: (level: "info" | "warn", message: string, data?: Record<string, unknown>) => void;
}

/** One part of a job's data, from its files. */
export interface PartRequest extends Pick<PrepareRequest, "id" | "spec" | "model" | "signal" | "event"> {
  readonly part: DatasetPart;
  readonly files: readonly DataFile[];
}

/** The rows that are trained on. */
export function trainingPart(
  { dataFiles, trainingFile, trainingFilePath, id, spec, model, signal, event }: PrepareRequest,
): PartRequest {
  const uploaded = { path: trainingFilePath, name: trainingFile.filename, sha256: trainingFile.sha256 };
  return { id, spec, model, signal, event, part: "training", files: dataFiles ?? [uploaded] };
}

/** The rows that are evaluated; null for a job that evaluates none. */
export function validationPart(request: PrepareRequest): PartRequest | null {
  const { spec, validationFiles = null } = request;
  if (!isEvaluated(spec)) return null;
  const training = trainingPart(request);
  if (validationFiles !== null) return { ...training, part: "validation", files: validationFiles };
  if (sourceOf(spec, "validation") !== "validation_file") return { ...training, part: "validation" };
  const message = "training.eval_strategy is set, but the validation file is gone";
  throw new LoraFleetError("invalid_request", message, { param: "validation_file" });
}
