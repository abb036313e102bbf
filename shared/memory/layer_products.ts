/** What a layer costs that is computed again, in matrix products: the rest of a step is small beside them. */
import { modelTensors, moduleOf } from "../model/model_tensors.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";
import type { LoraPlan } from "./lora_plan.ts";

/**
 * The share of a step, of one in which nothing is computed twice, that a layer's second forward takes. A frozen weight costs two
 * FLOPs a token in the forward and two in the backward pass, LoRA's six in both; a second forward leaves the layer's last product
 * out, unless a norm follows it. Attention's products are left out on both sides, and that a large vocabulary's logits are computed
 * twice: the lens counts up to a seventh less.
 */
export function recomputedShare(spec: TransformerSpec, lora: LoraPlan): number {
  let [step, again] = [4 * spec.vocabSize * spec.hiddenSize, 0];
  for (const { kind, role, layer, name, shape } of modelTensors(spec)) {
    if (kind !== "linear") continue;
    const [rows, columns] = shape as [number, number];
    const { rank } = lora.modules.get(moduleOf(name)) ?? { rank: 0 };
    step += 4 * rows * columns + 6 * rank * (rows + columns);
    const isLast = role === "down" && !spec.postNorms;
    if (layer === spec.layerCount - 1) {
      again += isLast ? 2 * rank * columns : 2 * rows * columns + 2 * rank * (rows + columns);
    }
  }
  return again / step;
}
