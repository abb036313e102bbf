/** Checks a job's base model and training file, and makes rows: everything that can be refused early is. */
import { dirname } from "@std/path";
import { hasTokenizer } from "../../../shared/data/tokenizer/files/tokenizer_files.ts";
import { createTokenBound } from "../../../shared/data/tokenizer/token_bound.ts";
import { boundTo, loadTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { checkTokenizer } from "../../../shared/data/tokenizer/tokenizer_check.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { aboutPart } from "./dataset_part.ts";
import { type PreparationWatch, prepareDataset, type PreparedDataset } from "./dataset.ts";
import {
  aboutModel,
  type CheckedJob,
  checkModelForJob,
  readModelJson,
  readTransformerSpec,
} from "../../base_models/model_check.ts";
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
  const { tokenizer, bound } = await aboutModel(spec, async () => {
    const { vocabSize } = await readTransformerSpec(modelFolder);
    const tokenizer = boundTo(await loadTokenizer(modelFolder), vocabSize);
    const json = await readModelJson(modelFolder, "tokenizer.json");
    // Tokens that other files add may be longer than all in tokenizer.json.
    const whole = typeof json === "object" ? { ...json, added_tokens: tokenizer.addedTokens } : json;
    return { tokenizer, bound: createTokenBound(whole) };
  });
  const spoolFolder = dirname(request.outputPath);
  return await aboutPart(
    spec,
    part,
    () => prepareDataset({ files, spec, part, tokenizer, bound, spoolFolder, ...watch }),
  );
}
