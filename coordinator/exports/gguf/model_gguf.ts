/** A merged model as one GGUF file, with its tokenizer. */
import { architectureMetadata } from "../../../shared/gguf/architecture_metadata.ts";
import { ggufArchitecture } from "../../../shared/gguf/architectures.ts";
import type { GgufMetadata } from "../../../shared/gguf/format.ts";
import { ropeFactors } from "../../../shared/gguf/rope_factors.ts";
import { ggufTensorName, interleavedHeads, interleaveHeads } from "../../../shared/gguf/tensor_names.ts";
import { type GgufType, TENSOR_TYPES } from "../../../shared/gguf/tensor_types.ts";
import type { ModelTensor } from "../../../shared/model/model_tensors.ts";
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
  const ropes = [...ropeFactors(spec)].map(([name, factors]): GgufTensor => (
    { name, shape: [factors.length], type: "F32", pieces: () => [factors] }
  ));
  const tensors = model.tensors.filter(isOfLanguage);
  return planGguf(metadata, [...ropes, ...tensors.map((tensor) => tensorOf(tensor, spec, type))]);
}

type LanguageTensor = MergedTensor & Pick<ModelTensor, "role" | "kind">;

/** What sees images is not in the file of the language model. */
function isOfLanguage(tensor: MergedTensor): tensor is LanguageTensor {
  return tensor.kind !== "vision";
}

function tensorOf(tensor: LanguageTensor, spec: TransformerSpec, wanted: GgufType): GgufTensor {
  const { shape } = tensor;
  return {
    name: ggufTensorName(tensor),
    shape,
    type: typeFor(shape, wanted),
    pieces: () => piecesOf(tensor, spec),
  };
}

/** The values as llama.cpp computes with them. */
function piecesOf(tensor: LanguageTensor, spec: TransformerSpec): AsyncGenerator<Float32Array> {
  if (interleavedHeads(tensor, spec) > 0) return interleaved(tensor, spec.headDim);
  return tensor.kind === "norm" && spec.normOffset !== 0 ? shifted(tensor, spec.normOffset) : tensor.pieces();
}

async function* shifted(tensor: MergedTensor, offset: number): AsyncGenerator<Float32Array> {
  for await (const piece of tensor.pieces()) yield piece.map((value) => value + offset);
}

async function* interleaved(tensor: MergedTensor, headDim: number): AsyncGenerator<Float32Array> {
  const columns = tensor.shape.length === 1 ? 1 : tensor.shape[1]!;
  // A bias is one row of all heads.
  const group = tensor.shape.length === 1 ? 1 : headDim;
  for await (const piece of tensor.pieces(group)) yield interleaveHeads(piece, headDim, columns);
}
