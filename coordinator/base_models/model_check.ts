/**
 * Checks a job against its base model before any data is read, by config.json, the headers of the weights and in one case
 * their bytes. Refuses an unusable combination when the job is created.
 */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { checkSpecAgainstModel } from "../../shared/job/adapter_modules.ts";
import { pissaCostText } from "../../shared/memory/pissa_cost.ts";
import { assertUnquantised, isPissa, pissaIterations } from "../../shared/job/pissa.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { NF4_STATE_SUFFIX, parseNf4State } from "../../shared/model/nf4_state.ts";
import { readStored } from "../../shared/model/safetensors_file.ts";
import { resolveHead, storedName } from "../../shared/model/tied_head.ts";
import { linearModules, modelModules } from "../../shared/model/model_tensors.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import { exceededLimit } from "../../shared/model/positions/position_limit.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import { checkLayout, storedDoubleQuantization } from "./layout.ts";
import { selectModelFiles } from "./files.ts";
import { readTensorHeaders, type StoredHeader } from "./headers.ts";

/** A job adapted to its base model. */
export interface CheckedJob {
  /** The job's own, except for what the checkpoint decides. */
  readonly spec: JobSpec;
  /** One sentence each. */
  readonly warnings: readonly string[];
}

/** Whether a base model without weights passes: a plan needs none. */
type Weights = "needed" | "if there";

/**
 * Checks that the job can be trained on the base model in `folder`: a supported architecture, sound weight files with the
 * necessary tensors, adapters on existing layers. Throws `invalid_model` that names the
 * field, file or tensor, or `invalid_request` with the job's field.
 */
export async function checkModelForJob(
  spec: JobSpec,
  folder: string,
  weights: Weights = "needed",
): Promise<CheckedJob> {
  const model = await aboutModel(spec, () => readModel(folder, weights));
  const adapted = checkSpecAgainstModel(spec, modelModules(model.spec));
  const warnings = [...model.warnings, ...lengthWarnings(spec, model.spec)];
  if (isPissa(spec.lora)) warnings.push(pissaCostText(adapted, pissaIterations(spec.lora)));
  const { doubleQuantization } = model;
  if (isPissa(spec.lora)) assertUnquantised(doubleQuantization);
  const { bnb_4bit_use_double_quant: wanted } = spec.quantization;
  if (doubleQuantization === null || doubleQuantization === wanted) return { spec, warnings };
  const quantization = { ...spec.quantization, bnb_4bit_use_double_quant: doubleQuantization };
  const warning =
    `quantization.bnb_4bit_use_double_quant is ${doubleQuantization}, not ${wanted}: the base model is ` +
    `stored in NF4 ${doubleQuantization ? "with" : "without"} double quantisation and is used as it is.`;
  return { spec: { ...spec, quantization }, warnings: [...warnings, warning] };
}

/** Attributes faults of the base model to the job's field `model` and quotes its value. */
export async function aboutModel<T>(spec: JobSpec, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError) || thrown.code !== "invalid_model") throw thrown;
    const message = `base model ${quote(spec.model)}: ${thrown.message}`;
    throw new LoraFleetError("invalid_model", message, { param: "model", cause: thrown });
  }
}

/** Reads config.json alone. Throws `invalid_model` that names the field. */
export async function readTransformerSpec(folder: string): Promise<TransformerSpec> {
  return parseTransformerSpec(await readModelJson(folder, "config.json"));
}

/** Reads one of a base model's JSON files. Throws `invalid_model` that names it. */
export async function readModelJson(folder: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(`${folder}/${name}`));
  } catch (thrown) {
    throw new LoraFleetError("invalid_model", `cannot read ${name}: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/**
 * Refuses documents beyond the length that workers compute exactly. Throws `invalid_request` for `dataset.max_seq_length`.
 * @param positions tokens of the longest document
 */
function assertWithinLimit(positions: number, spec: TransformerSpec): void {
  const limit = exceededLimit(spec, positions);
  if (limit === null) return;
  const message = `the longest document has ${positions} tokens, but the base model's ${limit.field} is ` +
    `${limit.positions}, and ${limit.reason}: set dataset.max_seq_length to at most ${limit.positions}`;
  throw new LoraFleetError("invalid_request", message, { param: "dataset.max_seq_length" });
}

/** The same, before config.json has been read. */
export async function checkLongestDocument(
  spec: JobSpec,
  folder: string,
  longestDocument: number,
): Promise<void> {
  assertWithinLimit(longestDocument, await aboutModel(spec, () => readTransformerSpec(folder)));
}

/** Warns of documents longer than the model was made for; only the prepared data shows whether there are any. */
function lengthWarnings({ dataset }: JobSpec, model: TransformerSpec): string[] {
  const { max_seq_length: length } = dataset;
  const limit = exceededLimit(model, length);
  if (limit !== null) {
    return [
      `dataset.max_seq_length is ${length}, but the base model's ${limit.field} is ${limit.positions}, and ${limit.reason}: ` +
      `a document of more than ${limit.positions} tokens will be refused; set dataset.max_seq_length to at most ${limit.positions}.`,
    ];
  }
  if (length <= model.maxPositionEmbeddings) return [];
  return [
    `dataset.max_seq_length is ${length}, beyond the base model's max_position_embeddings of ${model.maxPositionEmbeddings}: ` +
    `longer documents are trained as transformers does, at positions that the base model may never have seen.`,
  ];
}

/** Says what of a model that sees images is trained. */
function visionWarnings({ architecture, textModule }: TransformerSpec): string[] {
  if (textModule === "model") return [];
  return [
    `the base model is a ${architecture}, which sees images as well: its language model alone is trained, on text; the vision ` +
    `part is left as it is.`,
  ];
}

/** Checks the first linear layer that is stored in NF4; the others have the same settings. */
async function checkPackedState(
  spec: TransformerSpec,
  stored: ReadonlyMap<string, StoredHeader>,
): Promise<void> {
  const names = linearModules(spec).map(({ name }) =>
    storedName(`${name}.weight`, spec, (weight) => stored.has(weight)) + NF4_STATE_SUFFIX
  );
  const name = names.find((state) => stored.has(state));
  if (name === undefined) return;
  const state = parseNf4State(await readStored(stored.get(name)!));
  if (!("problem" in state)) return;
  throw new LoraFleetError("invalid_model", `tensor ${quote(name)}: ${state.problem}`, { param: "model" });
}

async function readModel(folder: string, need: Weights) {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const readIndex = () => Deno.readTextFile(`${folder}/model.safetensors.index.json`);
  const files = await selectModelFiles(names, readIndex).catch((thrown) => {
    if (need === "needed" || !names.includes("config.json")) throw thrown;
    return null;
  });
  const described = await readTransformerSpec(folder);
  if (files === null) {
    return { spec: described, doubleQuantization: null, warnings: visionWarnings(described) };
  }
  const weights = files.filter((name) => name.endsWith(".safetensors"));
  const tensors = (await Promise.all(
    weights.map((name) => readTensorHeaders(`${folder}/${name}`, name)),
  )).flat();
  checkLayout(described, tensors);
  const stored = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const { spec, warning } = await resolveHead(described, (name) => stored.get(name));
  if (spec !== described) checkLayout(spec, tensors);
  await checkPackedState(spec, stored);
  return {
    spec,
    doubleQuantization: storedDoubleQuantization(spec, tensors),
    warnings: [...visionWarnings(spec), ...(warning === null ? [] : [warning])],
  };
}
