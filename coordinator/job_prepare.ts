/** A job's base model and training file, checked and made into rows: everything that can be refused early is. */
import { createTokenBound } from "../shared/data/token_bound.ts";
import { assertTokenizerFits, loadTokenizer } from "../shared/data/tokenizer.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { checkSpecAgainstModel } from "../shared/job_spec.ts";
import type { JobSpec } from "../shared/job_spec.ts";
import {
  linearModules,
  parseTransformerSpec,
  type TransformerSpec,
} from "../shared/model/transformer_spec.ts";
import { prepareDataset } from "./data/prepare_job.ts";
import { checkLayout } from "./model_layout.ts";
import { selectModelFiles } from "./model_registry_files.ts";
import { readTensorHeaders } from "./model_registry_headers.ts";
import type { PreparationRequest } from "./planning/preparation_messages.ts";
import type { PreparedRows } from "./planning/prepared_file.ts";

/**
 * Whether the job can be trained on the base model in `folder`: an architecture that workers compute, sound weight files
 * with the tensors that it needs, adapters on layers that exist, a rank that they can have. Throws a `LoraFleetError`:
 * `invalid_model` that names the field, file or tensor, or `invalid_request` with the job's field.
 */
export async function checkModelForJob(spec: JobSpec, folder: string): Promise<void> {
  const transformer = await aboutModel(spec, () => checkModel(folder));
  const modules = linearModules(transformer).map(({ name, outFeatures, inFeatures }) => (
    { name, out: outFeatures, in: inFeatures }
  ));
  checkSpecAgainstModel(spec, { modules });
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
    const { vocabSize } = await readSpec(modelFolder);
    const tokenizer = await loadTokenizer(modelFolder);
    assertTokenizerFits(tokenizer, vocabSize);
    return { tokenizer, bound: createTokenBound(await readJson(modelFolder, "tokenizer.json")) };
  });
  const { trainingFilePath: filePath, fileSha256 } = request;
  return await prepareDataset({ filePath, fileSha256, spec, tokenizer, bound, onRead });
}

/** Throws `invalid_request` where documents reach further than the base model's attention. */
export async function checkWindow(spec: JobSpec, folder: string, longestDocument: number): Promise<void> {
  const { slidingWindow } = await aboutModel(spec, () => readSpec(folder));
  assertWithinWindow(longestDocument, slidingWindow);
}

async function checkModel(folder: string): Promise<TransformerSpec> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const files = await selectModelFiles(
    names,
    () => Deno.readTextFile(`${folder}/model.safetensors.index.json`),
  );
  const transformer = await readSpec(folder);
  const weights = files.filter((name) => name.endsWith(".safetensors"));
  const tensors = await Promise.all(weights.map((name) => readTensorHeaders(`${folder}/${name}`, name)));
  checkLayout(transformer, tensors.flat());
  return transformer;
}

async function readSpec(folder: string): Promise<TransformerSpec> {
  return parseTransformerSpec(await readJson(folder, "config.json"));
}

async function readJson(folder: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(`${folder}/${name}`));
  } catch (thrown) {
    throw new LoraFleetError("invalid_model", `${name} cannot be read: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

/** What is wrong with the base model is the fault of the job's field `model`, whose value is in the message. */
async function aboutModel<T>(spec: JobSpec, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError) || thrown.code !== "invalid_model") throw thrown;
    throw new LoraFleetError("invalid_model", `base model ${quote(spec.model)}: ${thrown.message}`, {
      param: "model",
      cause: thrown,
    });
  }
}

/** Mistral's attention looks back so far and no further, which workers do not compute. */
function assertWithinWindow(positions: number, slidingWindow: number | null): void {
  if (slidingWindow === null || positions <= slidingWindow) return;
  throw new LoraFleetError(
    "invalid_request",
    `the longest document has ${positions} tokens, but the base model's sliding_window is ${slidingWindow}, and ` +
      `attention within a window is not supported: set dataset.max_seq_length to at most ${slidingWindow}`,
    { param: "dataset.max_seq_length" },
  );
}
