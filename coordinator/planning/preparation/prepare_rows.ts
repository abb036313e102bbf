/** A job's base model and training file, checked and made into rows: everything that can be refused early is. */
import { createTokenBound } from "../../../shared/data/tokenizer/token_bound.ts";
import { boundTo, loadTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { checkTokenizer } from "../../../shared/data/tokenizer/tokenizer_check.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { prepareDataset } from "./dataset.ts";
import {
  aboutModel,
  type CheckedJob,
  checkModelForJob,
  readModelJson,
  readTransformerSpec,
} from "../../base_models/model_check.ts";
import type { PreparationRequest } from "./preparation_messages.ts";
import type { PreparedRows } from "./prepared_file.ts";

/** What is said when a job is created: `checkModelForJob`, and whether the base model's tokenizer can be read. */
export async function checkNewJob(spec: JobSpec, modelFolder: string): Promise<CheckedJob> {
  const checked = await checkModelForJob(spec, modelFolder);
  await aboutModel(spec, () => checkTokenizer(modelFolder));
  return checked;
}

/**
 * The dataset's rows: what takes long of a job's preparation, and is done in a process of its own. Throws a `LoraFleetError`
 * that names the line, field or file at fault; `corrupt` where the training file is not the one that was uploaded.
 * @param onRead told how many bytes of the training file have been read
 */
export async function prepareRows(
  request: PreparationRequest,
  onRead: (bytes: number) => void = () => {},
): Promise<PreparedRows> {
  const { spec, modelFolder } = request;
  await checkModelForJob(spec, modelFolder);
  const { tokenizer, bound } = await aboutModel(spec, async () => {
    const { vocabSize } = await readTransformerSpec(modelFolder);
    const tokenizer = boundTo(await loadTokenizer(modelFolder), vocabSize);
    const json = await readModelJson(modelFolder, "tokenizer.json");
    // Tokens that other files add may be longer than all of tokenizer.json.
    const whole = typeof json === "object" ? { ...json, added_tokens: tokenizer.addedTokens } : json;
    return { tokenizer, bound: createTokenBound(whole) };
  });
  const { trainingFilePath: filePath, fileSha256 } = request;
  return await prepareDataset({ filePath, fileSha256, spec, tokenizer, bound, onRead });
}
