/** Finds a base model's tensors in its files. */
import { LoraFleetError, quote } from "../errors.ts";
import { invalidFile } from "../model/safetensors_header.ts";
import type { StoredTensor } from "../model/safetensors_file.ts";
import { storedName } from "../model/tied_head.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";
import type { SafetensorsFile } from "./safetensors.ts";

interface Located {
  readonly file: SafetensorsFile;
  /** The name in the file: a tied head is stored as the embedding table. */
  readonly stored: string;
}

/**
 * @param files by tensor name
 * @param describe names the files in errors
 * @returns `locate` throws LoraFleetError `invalid_model` if no file has the tensor; `expect`, also if its shape differs
 */
export function createTensorIndex(
  files: ReadonlyMap<string, SafetensorsFile>,
  describe: string,
  spec: TransformerSpec,
) {
  const locate = (name: string): Located => {
    const stored = storedName(name, spec, (table) => files.has(table));
    const file = files.get(stored);
    if (file !== undefined) return { file, stored };
    const message = `Reading the base model failed: tensor ${quote(stored)} is missing from ${describe}`;
    throw new LoraFleetError("invalid_model", message, { param: stored });
  };
  const expect = (name: string, shape: readonly number[]): Located => {
    const located = locate(name);
    const { file, stored } = located;
    const info = file.tensors.get(stored)!;
    if (info.shape.length === shape.length && info.shape.every((size, i) => size === shape[i])) {
      return located;
    }
    const found = `tensor ${quote(stored)} is [${info.shape.join(", ")}]`;
    throw invalidFile(file.path, `${found}, config.json says [${shape.join(", ")}]`, { param: stored });
  };
  return { locate, expect };
}

export function storedTensor(file: SafetensorsFile | undefined, name: string): StoredTensor | undefined {
  if (file === undefined) return undefined;
  const { dtype, shape, start, end } = file.tensors.get(name)!;
  const { path, dataStart } = file;
  return { path, dtype, shape, from: dataStart + start, to: dataStart + end };
}
