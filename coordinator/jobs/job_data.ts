/** A job's rows as files on this disk: an upload, or a dataset on a hub. */
import type { DownloadOptions } from "../../shared/hub/download_repo.ts";
import type { DataFile } from "../../shared/data/files/data_files.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import type { HubDatasets } from "../datasets/hub_dataset.ts";
import { hubDatasetOf } from "../datasets/job_dataset.ts";
import { isEvaluated } from "../planning/preparation/dataset_part.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";
import type { FileStore } from "./files/file_store.ts";
import type { JobRecord } from "./record/job.ts";

interface DataParts {
  readonly files: FileStore;
  readonly datasets: HubDatasets;
}

/** Downloads what is missing. Throws `not_found` for an upload, and as `HubDatasets.fetch`. */
export async function dataOf(
  { files, datasets }: DataParts,
  spec: JobSpec,
  options: DownloadOptions = {},
): Promise<Pick<PrepareRequest, "trainingFile" | "trainingFilePath" | "dataFiles">> {
  const dataset = hubDatasetOf(spec);
  if (dataset === null) {
    const trainingFile = files.get(spec.training_file);
    return { trainingFile, trainingFilePath: await files.path(trainingFile) };
  }
  const { files: dataFiles, size, sha256 } = await datasets.fetch(dataset, options);
  return {
    trainingFile: { filename: dataset.path, size, sha256 },
    trainingFilePath: dataFiles[0]!.path,
    dataFiles,
  };
}

/**
 * The files with the rows to evaluate: an upload, or those of another split of the hub's dataset; null if the job evaluates
 * none, or rows of its training files. Throws as `dataOf` does.
 */
export async function validationFilesOf(
  { files, datasets }: DataParts,
  { spec, validationFile: id }: Pick<JobRecord, "spec" | "validationFile">,
  options: DownloadOptions = {},
): Promise<readonly DataFile[] | null> {
  if (!isEvaluated(spec)) return null;
  const { eval_split: split } = spec.dataset;
  const dataset = hubDatasetOf(spec);
  if (dataset !== null && split !== undefined) {
    return (await datasets.fetch({ ...dataset, split }, options)).files;
  }
  if (id === null) return null;
  const file = files.get(id);
  return [{ path: await files.path(file), name: file.filename, sha256: file.sha256 }];
}
