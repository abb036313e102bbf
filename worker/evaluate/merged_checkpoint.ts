/**
 * A merged model as a checkpoint that is not on a disk: the values that an export writes, by the same function, rounded to the
 * same type. So a worker measures a merge without its gigabytes.
 */
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { mergedDtypeOf, type MergeSource, openMerged } from "../../shared/checkpoint/merge/merged_model.ts";
import { type MergedDtype, ROUNDINGS } from "../../shared/checkpoint/merge/round.ts";
import { toFloat32 } from "../../shared/model/safetensors_dtype.ts";
import type { LoadableCheckpoint } from "../model/weights.ts";

/**
 * `readTensor` and `readPieces` give each tensor as the export's files hold it.
 * @param dtype of the export; null: the base model's
 * @throws LoraFleetError as `openMerged`
 */
export async function openMergedCheckpoint(
  source: MergeSource,
  dtype: MergedDtype | null,
): Promise<LoadableCheckpoint> {
  const [base, merged] = [await openCheckpoint(source.modelFolder), await openMerged(source)];
  const { spec } = merged;
  const rounding = ROUNDINGS[mergedDtypeOf(merged, dtype)];
  const tensors = new Map(merged.tensors.map((tensor) => [tensor.name, tensor]));
  const find = (name: string) => {
    const tensor = tensors.get(spec.textModule === "model" ? name : base.placeOf(name).stored);
    if (tensor === undefined) throw new Error(`a merged model has no tensor ${name}`);
    return tensor;
  };
  return {
    spec,
    storedDoubleQuantization: null,
    dtypeOf: () => rounding.dtype,
    async *readPieces(name) {
      for await (const piece of find(name).pieces()) {
        yield rounding.round(piece) as Uint8Array<ArrayBuffer>;
      }
    },
    readLinear: (name) => Promise.reject(new Error(`${name} of a merged model is not in NF4`)),
    async readTensor(name) {
      const tensor = find(name);
      const values = new Float32Array(tensor.elementCount);
      let at = 0;
      for await (const piece of tensor.pieces()) {
        values.set(toFloat32(rounding.dtype, rounding.round(piece) as Uint8Array<ArrayBuffer>)!, at);
        at += piece.length;
      }
      return values;
    },
  };
}
