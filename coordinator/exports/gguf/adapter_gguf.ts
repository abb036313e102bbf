/** A LoRA adapter as a GGUF file, for `llama-cli --lora` and Ollama's ADAPTER (convert_lora_to_gguf.py). */
import { ggufArchitecture } from "../../../shared/gguf/architectures.ts";
import { ggufTensorName, interleavedHeads, interleaveHeads } from "../../../shared/gguf/tensor_names.ts";
import type { GgufMetadata } from "../../../shared/gguf/format.ts";
import { type GgufType, TENSOR_TYPES } from "../../../shared/gguf/tensor_types.ts";
import { modelTensors, moduleOf } from "../../../shared/model/model_tensors.ts";
import type { TransformerSpec } from "../../../shared/model/transformer_spec.ts";
import type { LoraDelta } from "../../../shared/checkpoint/merge/adapter_deltas.ts";
import { type GgufFile, type GgufTensor, planGguf } from "./gguf_file.ts";

/** llama.cpp computes alpha/rank · B · A · x with one alpha; what a layer's own scale differs from that goes into its B. */
export function planAdapterGguf(
  spec: TransformerSpec,
  deltas: ReadonlyMap<string, LoraDelta>,
  type: Exclude<GgufType, "Q8_0">,
  name: string,
): GgufFile {
  const [first] = deltas.values();
  const alpha = first!.scale * first!.rank;
  const metadata: GgufMetadata = [
    ["general.architecture", { type: "string", value: ggufArchitecture(spec).name }],
    ["general.type", { type: "string", value: "adapter" }],
    ["general.name", { type: "string", value: name }],
    ["general.file_type", { type: "u32", value: TENSOR_TYPES[type].fileType }],
    ["adapter.type", { type: "string", value: "lora" }],
    ["adapter.lora.alpha", { type: "f32", value: alpha }],
  ];
  const tensors = modelTensors(spec).flatMap((tensor): GgufTensor[] => {
    const delta = tensor.kind === "linear" ? deltas.get(moduleOf(tensor.name)) : undefined;
    if (delta === undefined) return [];
    const { rank, a, scale, outFeatures, inFeatures } = delta;
    const factor = scale * rank / alpha;
    const b = factor === 1 ? delta.b : delta.b.map((value) => value * factor);
    const isInterleaved = interleavedHeads(tensor, spec) > 0;
    const own = ggufTensorName(tensor);
    return [
      { name: `${own}.lora_a`, shape: [rank, inFeatures], type, pieces: () => [a] },
      {
        ...{ name: `${own}.lora_b`, shape: [outFeatures, rank], type },
        pieces: () => [isInterleaved ? interleaveHeads(b, spec.headDim, rank) : b],
      },
    ];
  });
  return planGguf(metadata, tensors);
}
