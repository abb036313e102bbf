/** A merged model as one GGUF file, with its tokenizer. */
import {
  architectureMetadata,
  ggufArchitecture,
  ggufTensorName,
  interleavedHeads,
  interleaveHeads,
  ropeFactors,
} from "../../../shared/gguf/architectures.ts";
import type { GgufMetadata } from "../../../shared/gguf/format.ts";
import { type GgufType, TENSOR_TYPES } from "../../../shared/gguf/tensor_types.ts";
import type { TransformerSpec } from "../../../shared/model/transformer_spec.ts";
import type { MergedModel, MergedTensor } from "../../../shared/checkpoint/merge/merged_model.ts";
import { type GgufFile, type GgufTensor, planGguf, typeFor } from "./gguf_file.ts";

/** ggml's version of the quantised types. */
const QUANTIZATION_VERSION = 2;

/** @throws LoraFleetError `invalid_request` for a family without a form in GGUF */
export function planModelGguf(
  model: MergedModel,
  type: GgufType,
  name: string,
  tokenizer: GgufMetadata,
): GgufFile {
  const { spec } = model;
  const metadata: GgufMetadata = [
    ["general.architecture", { type: "string", value: ggufArchitecture(spec).name }],
    ["general.type", { type: "string", value: "model" }],
    ["general.name", { type: "string", value: name }],
    ["general.file_type", { type: "u32", value: TENSOR_TYPES[type].fileType }],
    ["general.quantization_version", { type: "u32", value: QUANTIZATION_VERSION }],
    ...architectureMetadata(spec),
    ...tokenizer,
  ];
  const factors = ropeFactors(spec);
  const ropes: GgufTensor[] = factors === null ? [] : [
    { name: "rope_freqs.weight", shape: [factors.length], type: "F32", pieces: () => [factors] },
  ];
  return planGguf(metadata, [...ropes, ...model.tensors.map((tensor) => tensorOf(tensor, spec, type))]);
}

function tensorOf(tensor: MergedTensor, spec: TransformerSpec, wanted: GgufType): GgufTensor {
  const { shape } = tensor;
  const isInterleaved = interleavedHeads(tensor, spec) > 0;
  return {
    ...{ name: ggufTensorName(tensor), shape, type: typeFor(shape, wanted) },
    pieces: () => isInterleaved ? interleaved(tensor, spec.headDim) : tensor.pieces(),
  };
}

async function* interleaved(tensor: MergedTensor, headDim: number): AsyncGenerator<Float32Array> {
  const columns = tensor.shape.length === 1 ? 1 : tensor.shape[1]!;
  // A bias is one row of all heads.
  const group = tensor.shape.length === 1 ? 1 : headDim;
  for await (const piece of tensor.pieces(group)) yield interleaveHeads(piece, headDim, columns);
}
