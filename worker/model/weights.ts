/** The frozen base model on the GPU: linear layers in NF4, the rest in f32. */
import type { Gpu } from "../device/gpu.ts";
import type { GpuTensor } from "../device/tensor.ts";
import type { Nf4GpuWeight } from "../kernels/matmul/nf4_matmul.ts";
import type { TableSlab } from "../kernels/elementwise/rows.ts";
import type { Checkpoint } from "../files/checkpoint_reader.ts";
import { DYNAMIC_MAP } from "../nf4/nf4_absmax.ts";
import type { Nf4Weights } from "../nf4/nf4.ts";
import { linearModules, type TransformerSpec } from "./transformer_spec.ts";

/** A frozen linear layer y = W·x + bias. */
export interface BaseLinear {
  readonly weight: Nf4GpuWeight;
  readonly bias: GpuTensor | null;
}

export interface LayerNorms {
  readonly attention: GpuTensor;
  readonly mlp: GpuTensor;
}

export interface BaseWeights {
  /** Slabs of [vocabulary, hidden]. */
  readonly embeddings: readonly TableSlab[];
  /** Slabs of the output layer [vocabulary, hidden]; the embeddings' own where they are tied. */
  readonly head: readonly TableSlab[];
  readonly norms: readonly LayerNorms[];
  readonly finalNorm: GpuTensor;
  /** By Hugging Face's module name. */
  readonly linears: ReadonlyMap<string, BaseLinear>;
}

/**
 * Reads, quantises and uploads a base model, one tensor at a time, so that host memory holds one tensor.
 * @param slabRows vocabulary rows of one slab
 * @throws LoraFleetError `invalid_model` where a tensor is missing or has another shape
 */
export async function loadBaseWeights(
  gpu: Gpu,
  checkpoint: Checkpoint,
  options: { doubleQuantization: boolean; slabRows: number },
): Promise<BaseWeights> {
  const { spec } = checkpoint;
  const dynamicMap = gpu.upload("dynamic map", DYNAMIC_MAP);
  const linears = new Map<string, BaseLinear>();
  for (const { name, outFeatures, inFeatures, hasBias } of linearModules(spec)) {
    const weights = await checkpoint.readLinear(name, outFeatures, inFeatures, options);
    const bias = hasBias
      ? gpu.upload(`${name}.bias`, await checkpoint.readTensor(`${name}.bias`, [outFeatures]))
      : null;
    linears.set(name, { weight: uploadNf4(gpu, name, weights, dynamicMap), bias });
  }
  const norm = async (name: string) =>
    gpu.upload(name, await checkpoint.readTensor(`${name}.weight`, [spec.hiddenSize]));
  const norms: LayerNorms[] = [];
  for (let layer = 0; layer < spec.layerCount; layer++) {
    norms.push({
      attention: await norm(`model.layers.${layer}.input_layernorm`),
      mlp: await norm(`model.layers.${layer}.post_attention_layernorm`),
    });
  }
  const embeddings = await loadTable(gpu, checkpoint, spec, "model.embed_tokens", options.slabRows);
  const head = spec.tieWordEmbeddings
    ? embeddings
    : await loadTable(gpu, checkpoint, spec, "lm_head", options.slabRows);
  const weights = { embeddings, head, norms, finalNorm: await norm("model.norm"), linears };
  await gpu.throwIfFailed("Uploading the base model");
  return weights;
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

async function loadTable(
  gpu: Gpu,
  checkpoint: Checkpoint,
  spec: TransformerSpec,
  name: string,
  slabRows: number,
): Promise<TableSlab[]> {
  const { vocabSize, hiddenSize } = spec;
  const table = await checkpoint.readTensor(`${name}.weight`, [vocabSize, hiddenSize]);
  const slabs: TableSlab[] = [];
  for (let firstRow = 0; firstRow < vocabSize; firstRow += slabRows) {
    const rowCount = Math.min(slabRows, vocabSize - firstRow);
    const part = table.subarray(firstRow * hiddenSize, (firstRow + rowCount) * hiddenSize);
    slabs.push({ tensor: gpu.upload(`${name}[${firstRow}…]`, part), firstRow, rowCount });
  }
  return slabs;
}
