/** The decoder layers: base weights and LoRA joined by the names of the table of tensors. */
import { type LinearRole, modelTensors, moduleOf } from "../../shared/model/model_tensors.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { LoraPlan } from "../../shared/memory/lora_plan.ts";
import { lowestTrainedLayer } from "../../shared/memory/trained_layers.ts";
import type { FlatAdapter } from "./adapter/flat_adapter.ts";
import { bindLora, type Linear } from "./lora_linear.ts";
import type { DecoderLayer } from "./pass_context.ts";
import type { BaseWeights } from "./weights.ts";

/** @param flat holds LoRA's tensors, with their gradients if `training` */
export function bindLayers(
  spec: TransformerSpec,
  lora: LoraPlan,
  weights: BaseWeights,
  flat: FlatAdapter,
  training: boolean,
): DecoderLayer[] {
  const bound = bindLora(lora, flat, training);
  const linears = weights.layers.map(() => ({} as Partial<Record<LinearRole, Linear>>));
  for (const tensor of modelTensors(spec)) {
    if (tensor.kind !== "linear") continue;
    const { layer, role, name } = tensor;
    linears[layer]![role] = {
      base: weights.layers[layer]!.linears[role]!,
      lora: bound.get(moduleOf(name)) ?? null,
    };
  }
  const lowest = lowestTrainedLayer(spec, lora);
  return weights.layers.map(({ norms }, layer) => ({
    norms,
    linears: linears[layer]!,
    attention: spec.attention[layer]!,
    passesGradient: layer > lowest,
  }));
}
