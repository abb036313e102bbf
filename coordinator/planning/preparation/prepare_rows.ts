/** Checks a job's base model and training file, and makes rows: everything that can be refused early is. */
import { dirname, join } from "@std/path";
import { hasTokenizer } from "../../../shared/data/tokenizer/files/tokenizer_files.ts";
import { checkTokenizer } from "../../../shared/data/tokenizer/tokenizer_check.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { aboutPart } from "./dataset_part.ts";
import { type PreparationWatch, prepareDataset, type PreparedDataset } from "./dataset.ts";
import { aboutModel, type CheckedJob, checkModelForJob } from "../../base_models/model_check.ts";
import { loadJobTokenizer } from "../tokenising/job_tokenizer.ts";
import { openRowsPool, threadsFor } from "../tokenising/rows_pool.ts";
import type { RowsSetUp } from "../tokenising/rows_calls.ts";
import type { PreparationRequest } from "./preparation_messages.ts";

/**
 * Checks when a job is created: `checkModelForJob`, and that the base model's tokenizer can be read.
 * @param weights as in `checkModelForJob`
 */
export async function checkNewJob(
  spec: JobSpec,
  modelFolder: string,
  weights: "needed" | "if there" = "needed",
): Promise<CheckedJob> {
  const checked = await checkModelForJob(spec, modelFolder, weights);
  // A plan without weights may lack the tokenizer, too.
  const isNeeded = weights === "needed" || await hasTokenizer(modelFolder);
  if (isNeeded) await aboutModel(spec, () => checkTokenizer(modelFolder));
  return checked;
}

/**
 * The dataset's rows: the long part of a job's preparation, which runs in its own process. Throws a `LoraFleetError` that names
 * the line, field or file at fault; `corrupt` if the training file is not the uploaded one.
 */
export async function prepareRows(
  request: PreparationRequest,
  watch: PreparationWatch = {},
): Promise<PreparedDataset> {
  const { spec, part = "training", files, modelFolder } = request;
  await checkModelForJob(spec, modelFolder, "if there");
  const { tokenizer, bound } = await aboutModel(spec, () => loadJobTokenizer(modelFolder));
  const spoolFolder = dirname(request.outputPath);
  const tokenizerPath = join(modelFolder, "tokenizer.json");
  const {
    threads = threadsFor(await bytesOf(files.map(({ path }) => path)), await bytesOf([tokenizerPath])),
  } = request;
  const openThreads = threads < 2
    ? undefined
    : (rows: Omit<RowsSetUp, "modelFolder">) => openRowsPool(threads, { modelFolder, ...rows });
  return await aboutPart(
    spec,
    part,
    () => prepareDataset({ files, spec, part, tokenizer, bound, openThreads, spoolFolder, ...watch }),
  );
}

/** A file that is not there counts as empty: whoever reads it says so. */
async function bytesOf(paths: readonly string[]): Promise<number> {
  const sizes = await Promise.all(paths.map((path) => Deno.stat(path).then(({ size }) => size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}
