/** From a job's specification, base model and training file to its plan: everything that can be refused early is. */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { checkSpecAgainstModel } from "../shared/job_spec.ts";
import type { JobSpec } from "../shared/job_spec.ts";
import { loadTokenizer } from "../shared/data/tokenizer.ts";
import { planJob, prepareDataset } from "./data/prepare_job.ts";
import type { PlannedJob } from "./fleet.ts";
import type { PrepareRequest } from "./job_service.ts";
import { selectModelFiles } from "./model_registry_files.ts";
import { linearModulesOf, readTensorHeaders } from "./model_registry_headers.ts";

const configSchema = z.looseObject({ vocab_size: z.int().positive() });

/**
 * Whether the job can be trained on the base model in `folder`: sound weight files, adapters on layers that exist, a
 * rank that they can have. Throws a `LoraFleetError`: `invalid_model`, or `invalid_request` with the field.
 */
export async function checkModelForJob(spec: JobSpec, folder: string): Promise<void> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const files = await selectModelFiles(
    names,
    () => Deno.readTextFile(`${folder}/model.safetensors.index.json`),
  );
  const weights = files.filter((name) => name.endsWith(".safetensors"));
  const tensors = await Promise.all(weights.map((name) => readTensorHeaders(`${folder}/${name}`, name)));
  checkSpecAgainstModel(spec, { modules: linearModulesOf(tensors.flat()) });
}

/** Prepares the data and plans the steps. Throws a `LoraFleetError` that names the line, field or file at fault. */
export async function prepareJob(request: PrepareRequest): Promise<PlannedJob> {
  const { id, spec, model, signal, event } = request;
  await checkModelForJob(spec, model.folder);
  const tokenizer = await loadTokenizer(model.folder);
  const { vocab_size: vocabSize } = await readConfig(model.folder);
  if (tokenizer.vocabSize > vocabSize) {
    throw new LoraFleetError(
      "invalid_model",
      `tokenizer.json has token ids up to ${
        tokenizer.vocabSize - 1
      }, but config.json has "vocab_size" ${vocabSize}: ` +
        "remove the added tokens, or resize the model's embeddings",
      { param: "model" },
    );
  }
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
  return planJob({ id, spec, model: model.manifest, modelFolder: model.folder, rows, datasetSha256: sha256 });
}

async function readConfig(folder: string): Promise<z.output<typeof configSchema>> {
  try {
    return configSchema.parse(JSON.parse(await Deno.readTextFile(`${folder}/config.json`)));
  } catch (thrown) {
    const why = thrown instanceof z.ZodError
      ? `${quote("vocab_size")} is missing or no count`
      : messageOf(thrown);
    throw new LoraFleetError("invalid_model", `config.json: ${why}`, { param: "model", cause: thrown });
  }
}
