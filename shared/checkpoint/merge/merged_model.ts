/**
 * A base model with an adapter merged into it, as a list of tensors whose values come piece by piece: the memory is that of the
 * largest linear layer, not of the model.
 */
import { type Checkpoint, openCheckpoint } from "../checkpoint_reader.ts";
import { LoraFleetError, quote } from "../../errors.ts";
import type { LoraSpec } from "../../job/job_spec_schema.ts";
import {
  embeddingsName,
  HEAD_NAME,
  type ModelTensor,
  modelTensors,
  moduleOf,
} from "../../model/model_tensors.ts";
import type { TransformerSpec } from "../../model/transformer_spec.ts";
import { isPissa } from "../../job/pissa.ts";
import { splitDeltas } from "./pissa_halves.ts";
import { residualCheckpoint } from "./residual.ts";
import { absmaxOf, dequantizeNf4Range } from "../nf4/nf4.ts";
import { addDelta, type LoraDelta, readDeltas } from "./adapter_deltas.ts";
import type { MergedDtype } from "./round.ts";

/**
 * What the adapter is merged into. "nf4": the values that training computed with, NF4 taken apart again, so that the merged model
 * answers as the trained one. "original": the base model's own weights, which the adapter has never seen.
 */
export const MERGE_BASES = ["nf4", "original"] as const;
export type MergeBase = typeof MERGE_BASES[number];

export interface MergeSource {
  readonly modelFolder: string;
  readonly adapterPath: string;
  readonly lora: LoraSpec;
  readonly doubleQuantization: boolean;
  readonly base: MergeBase;
}

export type MergedTensor = Pick<ModelTensor, "name" | "shape" | "layer"> & {
  /** "vision": of the part that sees images, which stays as it is. */
  readonly kind: ModelTensor["kind"] | "vision";
  readonly role: ModelTensor["role"] | "vision";
  readonly elementCount: number;
  /**
   * All values in f32, whole rows at a time; a piece is valid until the next one.
   * @param rowGroup a piece has a multiple of so many rows; 1 if left out
   */
  pieces(rowGroup?: number): AsyncGenerator<Float32Array>;
};

export interface MergedModel {
  readonly spec: TransformerSpec;
  /** By name, as transformers stores a model. A tied output layer is not among them. */
  readonly tensors: readonly MergedTensor[];
  /** Of the base model's embeddings, for a config.json that names no type. */
  readonly storedDtype: MergedDtype;
}

const DTYPES: Readonly<Record<string, MergedDtype>> = { BF16: "bfloat16", F16: "float16" };

/** Elements of a piece, about: 16 MiB in f32. */
const PIECE_ELEMENTS = 2 ** 22;

/** @throws LoraFleetError `invalid_model`, `invalid_request` if the base has no 16-bit weights, `corrupt` */
export async function openMerged(source: MergeSource): Promise<MergedModel> {
  const checkpoint = await openCheckpoint(source.modelFolder);
  if (source.base === "original" && checkpoint.storedDoubleQuantization !== null) {
    const message =
      `base is "original", but the base model is stored in NF4 and has no other weights: use "nf4"`;
    throw new LoraFleetError("invalid_request", message, { param: "base" });
  }
  const { spec } = checkpoint;
  const read = readDeltas(source.adapterPath, source.lora);
  // What a PiSSA job trained on is in its result; on the original weights the result is a LoRA like any other.
  const isResidual = isPissa(source.lora) && source.base === "nf4";
  const { trained: deltas, starts } = isResidual
    ? splitDeltas(read, source.lora)
    : { trained: read, starts: null };
  const trainedOn = starts === null ? checkpoint : residualCheckpoint(checkpoint, (name) => starts.get(name));
  const stored = modelTensors(spec).filter(({ name }) => name !== HEAD_NAME || !spec.tieWordEmbeddings);
  checkModules(stored, deltas);
  const tensors = stored.map((tensor): MergedTensor => ({
    ...tensor,
    // Models that see images are stored under different names than transformers computes with.
    name: spec.textModule === "model" ? tensor.name : checkpoint.placeOf(tensor.name).stored,
    elementCount: tensor.shape.reduce((product, size) => product * size, 1),
    pieces: (rowGroup = 1) =>
      piecesOf(trainedOn, source, tensor, deltas.get(moduleOf(tensor.name)), rowGroup),
  }));
  const storedDtype = DTYPES[checkpoint.dtypeOf(embeddingsName(spec))] ?? "float32";
  tensors.push(...visionTensors(checkpoint));
  return { spec, storedDtype, tensors: tensors.sort((a, b) => a.name < b.name ? -1 : 1) };
}

/** The type of the merged weights: as asked, else as config.json names it, else as they are stored. */
export function mergedDtypeOf(
  { spec, storedDtype }: Pick<MergedModel, "spec" | "storedDtype">,
  asked: MergedDtype | null,
): MergedDtype {
  return asked ?? spec.torchDtype ?? storedDtype;
}

function visionTensors(checkpoint: Checkpoint): MergedTensor[] {
  if (checkpoint.spec.textModule === "model") return [];
  const names = checkpoint.tensorNames.filter((name) =>
    /^(model\.)?(vision_tower|multi_modal_projector)\./.test(name)
  );
  return names.map((name) => {
    const { shape } = checkpoint.placeOf(name);
    const elementCount = shape.reduce((product, size) => product * size, 1);
    async function* pieces() {
      for (let first = 0; first < elementCount; first += PIECE_ELEMENTS) {
        const count = Math.min(PIECE_ELEMENTS, elementCount - first);
        yield await checkpoint.readTensorRange(name, shape, first, count);
      }
    }
    return { name, shape, kind: "vision", role: "vision", layer: null, elementCount, pieces };
  });
}

/** Every part of the adapter must find its layer. */
function checkModules(tensors: readonly ModelTensor[], deltas: ReadonlyMap<string, LoraDelta>): void {
  const shapes = new Map(
    tensors.filter(({ kind }) => kind === "linear").map(({ name, shape }) => [moduleOf(name), shape]),
  );
  for (const [module, { outFeatures, inFeatures }] of deltas) {
    const shape = shapes.get(module);
    if (shape?.[0] === outFeatures && shape[1] === inFeatures) continue;
    const found = shape === undefined ? "has no such layer" : `has [${shape.join(", ")}]`;
    const message =
      `Merging the adapter failed: its layer ${quote(module)} is [${outFeatures}, ${inFeatures}], ` +
      `the base model ${found}: the adapter belongs to a different base model`;
    throw new LoraFleetError("invalid_model", message, { param: module });
  }
}

async function* piecesOf(
  checkpoint: Checkpoint,
  { base, doubleQuantization }: MergeSource,
  { name, shape, kind }: ModelTensor,
  delta: LoraDelta | undefined,
  rowGroup: number,
): AsyncGenerator<Float32Array> {
  const [rows, columns] = shape.length === 2 ? shape as [number, number] : [1, shape[0]!];
  const rowsOfPiece = Math.max(1, Math.floor(PIECE_ELEMENTS / columns / rowGroup)) * rowGroup;
  const readInto = base === "nf4" && kind === "linear"
    ? await dequantizer(checkpoint, name, rows, columns, doubleQuantization)
    : async (first: number, count: number) => await checkpoint.readTensorRange(name, shape, first, count);
  for (let row = 0; row < rows; row += rowsOfPiece) {
    const count = Math.min(rowsOfPiece, rows - row) * columns;
    const values = await readInto(row * columns, count);
    if (delta !== undefined && kind === "linear") addDelta(values, row, delta);
    yield values;
  }
}

/** Reads elements of a linear layer as NF4 has them. */
async function dequantizer(
  checkpoint: Checkpoint,
  name: string,
  rows: number,
  columns: number,
  doubleQuantization: boolean,
) {
  const weights = await checkpoint.readLinear(moduleOf(name), rows, columns, { doubleQuantization });
  const absmax = absmaxOf(weights);
  let buffer = new Float32Array(0);
  return (first: number, count: number) => {
    if (buffer.length < count) buffer = new Float32Array(count);
    const values = buffer.subarray(0, count);
    dequantizeNf4Range(weights.codes, absmax, first, values);
    return Promise.resolve(values);
  };
}
