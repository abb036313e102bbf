/**
 * A base model on disk in Hugging Face layout: `config.json`, and `model.safetensors` or the shards that
 * `model.safetensors.index.json` lists. Opening reads all headers and finds missing tensors; tensors are read one at a time.
 */
import type { LowRank } from "./low_rank.ts";
import { messageOf } from "../errors.ts";
import { invalidFile } from "../model/safetensors_header.ts";
import type { Dtype } from "../model/safetensors_dtype.ts";
import { modelTensors } from "../model/model_tensors.ts";
import { parseTransformerSpec } from "../model/parse_transformer_spec.ts";
import { resolveHead } from "../model/tied_head.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";
import { createTensorIndex, storedTensor } from "./checkpoint_tensors.ts";
import { readShards } from "./checkpoint_shards.ts";
import { readText } from "./read_failure.ts";
import type { Nf4Weights } from "./nf4/nf4.ts";
import { isPrequantized, readPrequantized } from "./nf4_checkpoint.ts";
import { quantizeStored, type StoredLinear } from "./stored_linear.ts";

export interface Checkpoint {
  /** From config.json, except that an output layer stored with values of its own is not tied. */
  readonly spec: TransformerSpec;
  /** The names of all tensors in the files, sorted. */
  readonly tensorNames: readonly string[];
  /** Whether linear layers stored in NF4 are doubly quantised; null if none is stored in NF4. */
  readonly storedDoubleQuantization: boolean | null;
  /**
   * A tensor in f32, flattened. A tied `lm_head.weight` is the embedding table.
   * @throws LoraFleetError `invalid_model` naming tensor and file
   */
  readTensor(name: string, expectedShape: readonly number[]): Promise<Float32Array>;
  /** The stored type of a tensor. */
  dtypeOf(name: string): Dtype;
  /** A tensor's shape and its name in the files. */
  placeOf(name: string): { readonly shape: readonly number[]; readonly stored: string };
  /** As `readTensor`, elements `first` … `first + count − 1` alone. */
  readTensorRange(
    name: string,
    expectedShape: readonly number[],
    first: number,
    count: number,
  ): Promise<Float32Array>;
  /** A tensor's bytes in order, of the type that `dtypeOf` names; a piece is valid until the next one. Throws as `readTensor`. */
  readPieces(name: string, expectedShape: readonly number[]): AsyncIterable<Uint8Array<ArrayBuffer>>;
  /** Where a linear layer's weight can be quantised from; null if it cannot, as where it is stored in NF4. Throws as `readLinear`. */
  linearPlace(name: string, outFeatures: number, inFeatures: number): StoredLinear | null;
  /** What is taken from a linear layer's weight before it is quantised; left out: nothing, of no layer. */
  linearStart?(name: string): Promise<LowRank | undefined> | LowRank | undefined;
  /**
   * The weight of linear layer `name` in NF4: quantised here, or as bitsandbytes stored it, with or without double quantisation.
   * @throws LoraFleetError `invalid_model` naming tensor and file
   */
  readLinear(
    name: string,
    outFeatures: number,
    inFeatures: number,
    options: { readonly doubleQuantization: boolean },
  ): Promise<Nf4Weights>;
}

/**
 * @param folder holds the base model's files
 * @throws LoraFleetError `model_not_found` without config.json or weights; `invalid_model` for an unsupported field of
 * config.json, a damaged file, and a tensor that is missing or does not have the shape that config.json implies
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const described = parseTransformerSpec(await readConfig(`${folder}/config.json`));
  const { files, describe } = await readShards(folder);
  const { spec } = await resolveHead(described, (name) => storedTensor(files.get(name), name));

  const { locate, expect } = createTensorIndex(files, describe, spec);
  let storedDoubleQuantization: boolean | null = null;
  for (const { name, shape, kind } of modelTensors(spec)) {
    const { file, stored } = locate(name);
    if (kind !== "linear" || !isPrequantized(file, stored)) expect(name, shape);
    else storedDoubleQuantization ??= file.tensors.has(`${stored}.nested_absmax`);
  }

  const linearPlace = (name: string, outFeatures: number, inFeatures: number): StoredLinear | null => {
    const weight = `${name}.weight`;
    const { file, stored } = locate(weight);
    if (isPrequantized(file, stored)) return null;
    expect(weight, [outFeatures, inFeatures]);
    return { name: stored, tensor: storedTensor(file, stored)! };
  };

  return {
    spec,
    tensorNames: [...files.keys()].sort(),
    storedDoubleQuantization,
    dtypeOf(name) {
      const { file, stored } = locate(name);
      return file.tensors.get(stored)!.dtype;
    },
    placeOf(name) {
      const { file, stored } = locate(name);
      return { stored, shape: file.tensors.get(stored)!.shape };
    },
    // deno-lint-ignore require-await -- asynchronous, so that an error is a rejection and reading may become so
    async readTensor(name, expectedShape) {
      const { file, stored } = expect(name, expectedShape);
      return file.readFloat32(stored);
    },
    // deno-lint-ignore require-await -- as above
    async readTensorRange(name, expectedShape, first, count) {
      const { file, stored } = expect(name, expectedShape);
      return file.readFloat32Range(stored, first, count);
    },
    async *readPieces(name, expectedShape) {
      const { file, stored } = expect(name, expectedShape);
      yield* file.readPieces(stored);
    },
    linearPlace,
    // deno-lint-ignore require-await -- as above
    async readLinear(name, outFeatures, inFeatures, { doubleQuantization }) {
      const place = linearPlace(name, outFeatures, inFeatures);
      if (place === null) {
        const { file, stored } = locate(`${name}.weight`);
        return readPrequantized(file, stored, outFeatures, inFeatures);
      }
      return quantizeStored(place, { rows: outFeatures, columns: inFeatures, doubleQuantization });
    },
  };
}

async function readConfig(path: string): Promise<unknown> {
  const text = await readText(path, "; a folder in Hugging Face layout is needed");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalidFile(path, messageOf(cause), { cause });
  }
}
