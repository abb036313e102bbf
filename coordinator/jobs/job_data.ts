/** A job's rows as files on this disk: an upload, or a dataset on a hub. */
import type { DownloadOptions } from "../../shared/hub/download_repo.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import type { HubDatasets } from "../datasets/hub_dataset.ts";
import { hubDatasetOf } from "../datasets/job_dataset.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";
import type { FileStore } from "./files/file_store.ts";

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
