/**
 * A base model on disk, in Hugging Face's layout: `config.json`, and `model.safetensors` or shards behind
 * `model.safetensors.index.json`. Opening it reads all headers and finds what is missing; tensors are read one at a time.
 */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { StoredTensor } from "../../shared/model/safetensors_file.ts";
import { modelTensors } from "../../shared/model/model_tensors.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import { resolveHead, storedTableName } from "../../shared/model/tied_head.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import { readShards } from "./checkpoint_reader_shards.ts";
import { type Nf4Weights, quantizeNf4 } from "../nf4/nf4.ts";
import { isPrequantized, readPrequantized } from "./nf4_checkpoint.ts";
import type { SafetensorsFile } from "./safetensors.ts";

export interface Checkpoint {
  /** As config.json has it, except that a stored output layer of its own values is not tied. */
  readonly spec: TransformerSpec;
  /** The names of all tensors in the files, sorted. */
  readonly tensorNames: readonly string[];
  /** Whether linear layers that are stored in NF4 are doubly quantised; null where they are not stored in NF4. */
  readonly storedDoubleQuantization: boolean | null;
  /**
   * A tensor in f32, flattened. `lm_head.weight` is the embedding table where they are tied.
   * @throws LoraFleetError `invalid_model` naming tensor and file
   */
  readTensor(name: string, expectedShape: readonly number[]): Promise<Float32Array>;
  /**
   * The weight of linear layer `name` in NF4: quantised here, or as the checkpoint has it where bitsandbytes stored it in
   * NF4 (then with or without double quantisation as it was stored).
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
 * config.json, a damaged file, and a tensor that is missing or of another shape than config.json says
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const described = parseTransformerSpec(await readConfig(`${folder}/config.json`));
  const { files, describe } = await readShards(folder);
  const { spec } = await resolveHead(described, (name) => storedTensor(files.get(name), name));

  /** The file and the name under which `name` is stored. */
  const locate = (name: string): { file: SafetensorsFile; stored: string } => {
    const stored = storedTableName(name, spec, (table) => files.has(table));
    const file = files.get(stored);
    if (file !== undefined) return { file, stored };
    throw new LoraFleetError(
      "invalid_model",
      `Reading the base model failed: tensor ${quote(stored)} is missing from ${describe}.`,
      { param: stored },
    );
  };
  const expect = (name: string, shape: readonly number[]) => {
    const { file, stored } = locate(name);
    const info = file.tensors.get(stored)!;
    if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
      throw new LoraFleetError(
        "invalid_model",
        `Reading ${quote(file.path)} failed: tensor ${quote(stored)} is [${info.shape.join(", ")}], ` +
          `config.json says [${shape.join(", ")}].`,
        { param: stored },
      );
    }
    return { file, stored };
  };

  let storedDoubleQuantization: boolean | null = null;
  for (const { name, shape, kind } of modelTensors(spec)) {
    const { file, stored } = locate(name);
    if (kind !== "linear" || !isPrequantized(file, stored)) expect(name, shape);
    else storedDoubleQuantization ??= file.tensors.has(`${stored}.nested_absmax`);
  }

  return {
    spec,
    tensorNames: [...files.keys()].sort(),
    storedDoubleQuantization,
    // deno-lint-ignore require-await -- asynchronous, so that an error is a rejection and reading may become so
    async readTensor(name, expectedShape) {
      const { file, stored } = expect(name, expectedShape);
      return file.readFloat32(stored);
    },
    // deno-lint-ignore require-await -- as above
    async readLinear(name, outFeatures, inFeatures, { doubleQuantization }) {
      const weight = `${name}.weight`;
      const { file } = locate(weight);
      if (isPrequantized(file, weight)) return readPrequantized(file, weight, outFeatures, inFeatures);
      expect(weight, [outFeatures, inFeatures]);
      try {
        const shape = { rows: outFeatures, columns: inFeatures };
        return quantizeNf4(file.readFloat32(weight), { ...shape, doubleQuantization });
      } catch (cause) {
        if (!(cause instanceof LoraFleetError) || cause.param !== null) throw cause;
        throw new LoraFleetError(
          "invalid_model",
          `Reading ${quote(file.path)} failed: tensor ${quote(weight)}: ${cause.message}`,
          { param: weight, cause },
        );
      }
    },
  };
}

/** Where tensor `name` of `file` lies on disk. */
function storedTensor(file: SafetensorsFile | undefined, name: string): StoredTensor | undefined {
  if (file === undefined) return undefined;
  const { dtype, shape, start, end } = file.tensors.get(name)!;
  const { path, dataStart } = file;
  return { path, dtype, shape, from: dataStart + start, to: dataStart + end };
}

async function readConfig(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    throw new LoraFleetError(
      cause instanceof Deno.errors.NotFound ? "model_not_found" : "storage",
      `Reading ${quote(path)} failed: ${messageOf(cause)}. A folder in Hugging Face layout is needed.`,
      { param: path, cause },
    );
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new LoraFleetError("invalid_model", `Reading ${quote(path)} failed: ${messageOf(cause)}.`, {
      param: path,
      cause,
    });
  }
}
