/** From a job's specification, base model and training file to its plan: everything that can be refused early is. */
import { assertTokenizerFits, loadTokenizer } from "../shared/data/tokenizer.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { checkSpecAgainstModel } from "../shared/job_spec.ts";
import type { JobSpec } from "../shared/job_spec.ts";
import {
  linearModules,
  parseTransformerSpec,
  type TransformerSpec,
} from "../shared/model/transformer_spec.ts";
import { planJob, prepareDataset } from "./data/prepare_job.ts";
import { describeLocal, localWarnings } from "./local_plan.ts";
import type { PlannedJob } from "./fleet.ts";
import type { PrepareRequest } from "./job_service.ts";
import { checkLayout } from "./model_layout.ts";
import { selectModelFiles } from "./model_registry_files.ts";
import { readTensorHeaders } from "./model_registry_headers.ts";

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

/** Prepares the data and plans the steps. Throws a `LoraFleetError` that names the line, field or file at fault. */
export async function prepareJob(request: PrepareRequest): Promise<PlannedJob> {
  const { id, spec, model, signal, event } = request;
  await checkModelForJob(spec, model.folder);
  const { tokenizer, slidingWindow } = await aboutModel(spec, async () => {
    const { vocabSize, slidingWindow } = await readSpec(model.folder);
    const tokenizer = await loadTokenizer(model.folder);
    assertTokenizerFits(tokenizer, vocabSize);
    return { tokenizer, slidingWindow };
  });
  const { rows, report, sha256 } = await prepareDataset({
    filePath: request.trainingFilePath,
    spec,
    tokenizer,
    signal,
  });
  signal.throwIfAborted();
  for (const warning of report.warnings) event("warn", warning);
  const percent = (100 * report.packingEfficiency).toFixed(1);
  event(
    "info",
    `${report.exampleCount} examples in ${report.rowCount} rows of up to ${spec.dataset.max_seq_length} tokens ` +
      `(${percent}% filled): ${report.tokenCount} tokens an epoch, ${report.trainedTokenCount} of them trained on.`,
    {
      examples: report.exampleCount,
      rows: report.rowCount,
      tokens: report.tokenCount,
      trained_tokens: report.trainedTokenCount,
      truncated_rows: report.truncatedRowCount,
      packing_efficiency: report.packingEfficiency,
    },
  );
  const plan = planJob({
    ...{ id, spec, rows, model: model.manifest },
    modelFolder: model.folder,
    datasetSha256: sha256,
  });
  assertWithinWindow(plan.maxPositions, slidingWindow);
  if (plan.local !== null && plan.local !== undefined) {
    event("info", describeLocal(plan.local, spec));
    for (const warning of localWarnings(plan.local, spec)) event("warn", warning);
  }
  return plan;
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
  let config: unknown;
  try {
    config = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
  } catch (thrown) {
    throw new LoraFleetError("invalid_model", `config.json cannot be read: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
  return parseTransformerSpec(config);
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
