/** Safetensors headers: enough to refuse a broken file or an unsuitable job before any worker downloads the model. */
import { readSafetensorsHeader, type StoredTensor } from "../../shared/model/safetensors_file.ts";

export interface TensorHeader {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

export type StoredHeader = TensorHeader & StoredTensor;

/**
 * Reads and checks one file's header. Throws `invalid_model` with what the header
 * promises and what the file holds. It calls the file `name`, because users must not learn paths of this machine.
 */
export async function readTensorHeaders(path: string, name: string): Promise<readonly StoredHeader[]> {
  const { tensors, dataStart } = await readSafetensorsHeader(path, name);
  return [...tensors.values()].map(({ name, dtype, shape, start, end }) => (
    { name, dtype, shape, path, from: dataStart + start, to: dataStart + end }
  ));
}
