import type { DataFile } from "../../../shared/data/files/data_files.ts";
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
  readonly signal: AbortSignal;
  /** Events for the user: the amount of data, truncated rows, a stop token without a label. */
  readonly event: (level: "info" | "warn", message: string, data?: Record<string, unknown>) => void;
}

/** Where the job's rows are. */
export function dataFilesOf(
  { dataFiles, trainingFile, trainingFilePath }: PrepareRequest,
): readonly DataFile[] {
  return dataFiles ??
    [{ path: trainingFilePath, name: trainingFile.filename, sha256: trainingFile.sha256 }];
}
