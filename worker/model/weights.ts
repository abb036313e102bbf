/**
 * The frozen base model on the GPU: linear layers in NF4, or in f32 to evaluate a merged model; tables as they are stored; the rest
 * in f32.
 */
import {
  type ByLinearRole,
  type ByNormRole,
  type ModelTensor,
  modelTensors,
  moduleOf,
} from "../../shared/model/model_tensors.ts";
import type { Gpu } from "../device/gpu.ts";
import type { GpuTensor } from "../device/tensor.ts";
import type { Nf4GpuWeight } from "../kernels/matmul/nf4_matmul.ts";
import type { TableSlab } from "../kernels/elementwise/rows.ts";
import type { Checkpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { DYNAMIC_MAP } from "../../shared/checkpoint/nf4/nf4_absmax.ts";
import type { Nf4Weights } from "../../shared/checkpoint/nf4/nf4.ts";
import { loadTable } from "./tables.ts";

/** A weight [rows, columns] that is not quantised. */
export interface DenseGpuWeight {
  readonly rows: number;
  readonly columns: number;
  readonly values: GpuTensor;
}

/** A frozen linear layer y = W·x + bias. */
export interface BaseLinear {
  readonly weight: Nf4GpuWeight | DenseGpuWeight;
  readonly bias: GpuTensor | null;
}

export type LayerNorms = ByNormRole<GpuTensor>;

interface LayerWeights {
  readonly norms: LayerNorms;
  readonly linears: ByLinearRole<BaseLinear>;
}

export interface BaseWeights {
  /** Slabs of [vocabulary, hidden]. */
  readonly embeddings: readonly TableSlab[];
  /** Slabs of the output layer [vocabulary, hidden]; the embeddings' own if they are tied. */
  readonly head: readonly TableSlab[];
  readonly finalNorm: GpuTensor;
  readonly layers: readonly LayerWeights[];
}

/** What loading reads of a checkpoint. */
export type LoadableCheckpoint = Pick<
  Checkpoint,
  "spec" | "storedDoubleQuantization" | "dtypeOf" | "readTensor" | "readPieces" | "readLinear"
>;

type Draft<T> = { -readonly [K in keyof T]?: T[K] };

/**
 * Reads, quantises and uploads a base model, one tensor at a time, so that host memory holds one tensor, and of a table one piece.
 * @param slabRows vocabulary rows of one slab
 * @param fullPrecision linear layers in f32 as they are stored; "by layer": room for those of one layer, without values
 * @throws LoraFleetError `invalid_model` if a tensor is missing or has the wrong shape
 */
export async function loadBaseWeights(
  gpu: Gpu,
  checkpoint: LoadableCheckpoint,
  options: { doubleQuantization: boolean; slabRows: number; fullPrecision?: boolean | "by layer" },
): Promise<BaseWeights> {
  const { spec } = checkpoint;
  const dynamicMap = gpu.upload("dynamic map", DYNAMIC_MAP);
  const layers = Array.from({ length: spec.layerCount }, () => (
    { norms: {} as Draft<LayerNorms>, linears: {} as Draft<LayerWeights["linears"]> }
  ));
  const tables: Partial<Record<"embeddings" | "head", TableSlab[]>> = {};
  let finalNorm: GpuTensor | undefined;
  const rooms = new Map<string, GpuTensor>();
  const roomFor = (role: string, rows: number, columns: number) => {
    const label = `${role} [${rows}, ${columns}]`;
    const room = rooms.get(label) ?? gpu.allocate(label, 4 * rows * columns);
    rooms.set(label, room);
    return room;
  };
  for (const tensor of modelTensors(spec)) {
    const { name, shape } = tensor;
    if (tensor.kind === "table") {
      if (tensor.role === "head" && spec.tieWordEmbeddings) continue;
      tables[tensor.role] = await loadTable(
        gpu,
        checkpoint,
        name,
        shape as [number, number],
        options.slabRows,
      );
    } else if (tensor.kind === "norm") {
      const weight = gpu.upload(name, await readNorm(checkpoint, tensor));
      if (tensor.layer === null) finalNorm = weight;
      else layers[tensor.layer]!.norms[tensor.role] = weight;
    } else if (tensor.kind === "linear") {
      const module = moduleOf(name);
      const [rows, columns] = shape as [number, number];
      const weight = options.fullPrecision === "by layer"
        ? { rows, columns, values: roomFor(tensor.role, rows, columns) }
        : options.fullPrecision === true
        ? { rows, columns, values: gpu.upload(name, await checkpoint.readTensor(name, shape)) }
        : uploadNf4(gpu, module, await checkpoint.readLinear(module, rows, columns, options), dynamicMap);
      layers[tensor.layer]!.linears[tensor.role] = { weight, bias: null };
    } else {
      const { linears } = layers[tensor.layer]!;
      linears[tensor.role] = {
        ...linears[tensor.role]!,
        bias: gpu.upload(name, await checkpoint.readTensor(name, shape)),
      };
    }
  }
  await gpu.throwIfFailed("Uploading the base model");
  return {
    embeddings: tables.embeddings!,
    head: tables.head ?? tables.embeddings!,
    finalNorm: finalNorm!,
    // The table has each role once a layer.
    layers: layers as LayerWeights[],
  };
}

/** A norm's factors: with an offset, the stored weight plus it, added in f32 as transformers does. */
async function readNorm(checkpoint: LoadableCheckpoint, { name, shape }: ModelTensor): Promise<Float32Array> {
  const stored = await checkpoint.readTensor(name, shape);
  const { normOffset } = checkpoint.spec;
  return normOffset === 0 ? stored : stored.map((weight) => weight + normOffset);
}

function uploadNf4(gpu: Gpu, name: string, weights: Nf4Weights, dynamicMap: GpuTensor): Nf4GpuWeight {
  const { rows, columns, codes, absmax, absmaxCodes, nestedAbsmax, nestedOffset } = weights;
  const doubleQuantized = absmaxCodes !== null;
  return {
    rows,
    columns,
    codes: gpu.upload(`${name}.codes`, codes),
    absmax: gpu.upload(`${name}.absmax`, absmaxCodes ?? absmax!),
    doubleQuantized,
    nestedAbsmax: nestedAbsmax === null ? dynamicMap : gpu.upload(`${name}.nested_absmax`, nestedAbsmax),
    nestedOffset,
    dynamicMap,
  };
}
