/** An adapter on disk as PEFT's `save_pretrained` writes it: `adapter_model.safetensors` and `adapter_config.json`. */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { rankFunction } from "../../shared/job/adapter_modules.ts";
import { loraSchema, type LoraSpec } from "../../shared/job/job_spec_schema.ts";
import type { RankFields } from "../../shared/job/pissa.ts";
import { invalidFile } from "../../shared/model/safetensors_header.ts";
import { parseAdapterConfig } from "./adapter_config_read.ts";
import { formatAdapterConfig } from "./adapter_config_write.ts";
import { readText } from "../../shared/checkpoint/read_failure.ts";
import { openSafetensors, type SafetensorsFile } from "../../shared/checkpoint/safetensors.ts";
import { type FileSystem, writeFilesAtomically } from "../../shared/checkpoint/atomic_file.ts";
import { encodeSafetensors } from "../../shared/checkpoint/safetensors_write.ts";

/** One LoRA tensor under PEFT's name: `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
interface AdapterTensor {
  readonly name: string;
  /** lora_A: [r, inFeatures]; lora_B: [outFeatures, r]. */
  readonly shape: readonly [rows: number, columns: number];
  /** Row by row. */
  readonly data: Float32Array;
}

export interface Adapter {
  readonly tensors: readonly AdapterTensor[];
  readonly lora: LoraSpec;
  /** PEFT's `base_model_name_or_path`. */
  readonly baseModelName: string;
  /** Of a PiSSA job's result: the configuration that was trained, while `lora` has twice its ranks (shared/job/pissa.ts). */
  readonly pissa?: RankFields;
}

const WEIGHTS = "adapter_model.safetensors";
const CONFIG = "adapter_config.json";
/** In the metadata of the tensors' file, where other tools look over it. */
const PISSA = "lorafleet_pissa";
const TENSOR_NAME = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

/**
 * Writes both files into `folder`, and creates it if necessary.
 * @throws LoraFleetError `invalid_model` if a tensor holds NaN or Infinity, `storage` if writing fails; no partial file is
 * left behind
 */
export async function writeAdapter(folder: string, adapter: Adapter, fileSystem?: FileSystem): Promise<void> {
  const { tensors, lora, baseModelName, pissa } = adapter;
  checkTensors(`Writing the adapter into ${quote(folder)} failed`, tensors, lora);
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (cause) {
    const message = `Creating the folder ${quote(folder)} failed: ${messageOf(cause)}`;
    throw new LoraFleetError("storage", message, { param: folder, cause });
  }
  const metadata = { format: "pt", ...pissa === undefined ? {} : { [PISSA]: JSON.stringify(pissa) } };
  const weights = encodeSafetensors(tensors.map((tensor) => ({ ...tensor, dtype: "F32" })), metadata);
  const moduleNames = tensors.map(({ name }) => TENSOR_NAME.exec(name)![1]!);
  const config = formatAdapterConfig(lora, baseModelName, moduleNames);
  await writeFilesAtomically([
    { path: `${folder}/${WEIGHTS}`, parts: weights },
    { path: `${folder}/${CONFIG}`, parts: [new TextEncoder().encode(config)] },
  ], fileSystem);
}

/**
 * Reads an adapter that lorafleet or PEFT wrote.
 * @throws LoraFleetError `model_not_found` if a file is missing, `invalid_model` if one is damaged or sets an unsupported field
 */
export async function readAdapter(folder: string): Promise<Adapter> {
  const configPath = `${folder}/${CONFIG}`;
  const { lora, baseModelName } = parseAdapterConfig(configPath, await readText(configPath));
  const file = openSafetensors(`${folder}/${WEIGHTS}`);
  const tensors = [...file.tensors.values()].map(({ name, shape }): AdapterTensor => {
    const [rows, columns] = shape;
    if (rows === undefined || columns === undefined || shape.length !== 2) {
      const reason = `tensor ${quote(name)} is [${shape.join(", ")}], a matrix is needed`;
      throw invalidFile(file.path, reason, { param: name });
    }
    return { name, shape: [rows, columns], data: file.readFloat32(name) };
  });
  checkTensors(`Reading ${quote(file.path)} failed`, tensors, lora);
  const pissa = trainedRanks(file);
  return { tensors, lora, baseModelName, ...pissa === null ? {} : { pissa } };
}

/** Null for a result that is no PiSSA job's. */
function trainedRanks(file: SafetensorsFile): RankFields | null {
  const text = file.metadata[PISSA];
  if (text === undefined) return null;
  try {
    const fields = {
      r: true,
      lora_alpha: true,
      use_rslora: true,
      rank_pattern: true,
      alpha_pattern: true,
    } as const;
    return loraSchema.pick(fields).parse(JSON.parse(text));
  } catch (cause) {
    throw invalidFile(file.path, `its metadata ${quote(PISSA)} is ${quote(text)}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** Checks that every tensor has PEFT's name, its partner, the rank as one side, and finite values. */
function checkTensors(attempt: string, tensors: readonly AdapterTensor[], lora: LoraSpec): void {
  const refuse = (name: string, reason: string) =>
    new LoraFleetError("invalid_model", `${attempt}: tensor ${quote(name)} ${reason}`, { param: name });
  if (tensors.length === 0) {
    throw new LoraFleetError("invalid_model", `${attempt}: the adapter has no tensors`);
  }
  const rankOf = rankFunction(lora);
  const names = new Set(tensors.map(({ name }) => name));
  for (const { name, shape, data } of tensors) {
    const match = TENSOR_NAME.exec(name);
    if (match === null) {
      throw refuse(name, "is not a LoRA tensor by PEFT's names (….lora_A.weight, ….lora_B.weight)");
    }
    const [, module, side] = match;
    const partner = `base_model.model.${module}.lora_${side === "A" ? "B" : "A"}.weight`;
    if (!names.has(partner)) throw refuse(name, `has no partner ${quote(partner)}`);
    const { rank } = rankOf(module!);
    if (shape[side === "A" ? 0 : 1] !== rank) {
      throw refuse(name, `is [${shape.join(", ")}], which does not fit the rank ${rank}`);
    }
    const bad = data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw refuse(name, `has ${data[bad]} at element ${bad}; an adapter must be finite`);
  }
}
