/** The layers that a gradient passes: those below the lowest one with LoRA have no part in it. */
import { modelTensors, moduleOf } from "../model/model_tensors.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";
import type { LoraPlan } from "./lora_plan.ts";

/** Layers from the lowest one with LoRA up: only they need a backward pass. All without LoRA. */
export function trainedLayers(spec: TransformerSpec, lora: LoraPlan): number {
  return spec.layerCount - lowestTrainedLayer(spec, lora);
}

/** Index of the lowest layer with LoRA; 0 without LoRA. */
export function lowestTrainedLayer(spec: TransformerSpec, { modules }: Pick<LoraPlan, "modules">): number {
  const layers = modelTensors(spec).flatMap((tensor) =>
    tensor.kind === "linear" && modules.has(moduleOf(tensor.name)) ? [tensor.layer] : []
  );
  return layers.length === 0 ? 0 : Math.min(...layers);
}
