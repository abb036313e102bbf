/**
 * Whether a base model's weights are those that its config.json describes. Workers check it again when they load them;
 * here it costs the headers alone, and the user hears of it at once.
 */
import { LoraFleetError, quote } from "../shared/errors.ts";
import { linearModules, type TransformerSpec } from "../shared/model/transformer_spec.ts";
import type { TensorHeader } from "./model_registry_headers.ts";

/** What bitsandbytes writes beside a weight that it has packed to 4 bits. */
const PACKED_STATE = ".quant_state.bitsandbytes__nf4";

/** Throws a `LoraFleetError` with code `invalid_model` that names the first tensor that is missing or has another shape. */
export function checkLayout(spec: TransformerSpec, tensors: readonly TensorHeader[]): void {
  const found = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name, shape, isLinear } of expectedTensors(spec)) {
    const tensor = found.get(name);
    if (tensor === undefined) throw invalid(`tensor ${quote(name)} is missing from the safetensors files`);
    if (isLinear && tensor.dtype === "U8") {
      // Packed codes say nothing about the shape; the worker that unpacks them has the last word.
      if (found.has(name + PACKED_STATE)) continue;
      throw invalid(
        `tensor ${quote(name)} is U8, but without ${
          quote(name + PACKED_STATE)
        }: only NF4 as bitsandbytes stores it ` +
          `is supported, or weights that are not quantised`,
      );
    }
    if (tensor.shape.length === shape.length && shape.every((size, i) => size === tensor.shape[i])) continue;
    throw invalid(
      `tensor ${quote(name)} is [${tensor.shape.join(", ")}], but by config.json it is [${shape.join(", ")}]`,
    );
  }
}

interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly isLinear: boolean;
}

function* expectedTensors(spec: TransformerSpec): Generator<ExpectedTensor> {
  const { vocabSize, hiddenSize, layerCount, tieWordEmbeddings } = spec;
  const plain = (name: string, ...shape: number[]) => ({ name, shape, isLinear: false });
  yield plain("model.embed_tokens.weight", vocabSize, hiddenSize);
  if (!tieWordEmbeddings) yield plain("lm_head.weight", vocabSize, hiddenSize);
  yield plain("model.norm.weight", hiddenSize);
  for (let layer = 0; layer < layerCount; layer++) {
    yield plain(`model.layers.${layer}.input_layernorm.weight`, hiddenSize);
    yield plain(`model.layers.${layer}.post_attention_layernorm.weight`, hiddenSize);
  }
  for (const { name, outFeatures, inFeatures, hasBias } of linearModules(spec)) {
    yield { name: `${name}.weight`, shape: [outFeatures, inFeatures], isLinear: true };
    if (hasBias) yield plain(`${name}.bias`, outFeatures);
  }
}

function invalid(message: string): LoraFleetError {
  return new LoraFleetError("invalid_model", message, { param: "model" });
}
