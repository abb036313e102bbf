/**
 * How many layers keep their activations from forward to backward: as many as the memory allows. The others share one slab and
 * are computed again, layer by layer, in the backward pass; a gradient has the same bits with any number.
 *
 * The last ones are kept. In which layers a slab lies makes no difference to time or memory: the shared slab holds the last
 * layer that was computed in it, so that of L layers with n slabs L − n are computed again. But a backward pass begins at the
 * end, so that a slab that is given up in mid-job is one whose layer is needed last.
 */
import type { TransformerSpec } from "../model/transformer_spec.ts";
import type { PlanOptions } from "./buffer_sizes.ts";
import type { LoraPlan } from "./lora_plan.ts";
import { planMemory } from "./memory_plan.ts";
import { trainedLayers } from "./trained_layers.ts";

export type Keeping = Required<Pick<PlanOptions, "keptLayers" | "remakesActivations">>;

/**
 * The most that a budget allows to be kept: all activations of all layers that a gradient passes; else, of as many layers as
 * possible, all but what norms and the gated unit make again, if that are more layers than with them.
 * @param budgetBytes null: no limit
 */
export function keepWithin(
  spec: TransformerSpec,
  lora: LoraPlan,
  options: Omit<PlanOptions, keyof Keeping>,
  budgetBytes: number | null,
): Keeping {
  const most = trainedLayers(spec, lora);
  const whole = { keptLayers: most, remakesActivations: false };
  if (budgetBytes === null || !options.training) return whole;
  const [full, lean] = [false, true].map((remakesActivations) => {
    const bytesWith = (keptLayers: number) =>
      planMemory(spec, lora, { ...options, keptLayers, remakesActivations }).totalBytes;
    const least = bytesWith(1);
    const more = Math.floor((budgetBytes - least) / (bytesWith(2) - least));
    return { keptLayers: Math.max(1, Math.min(most, 1 + more)), remakesActivations };
  });
  return lean!.keptLayers > full!.keptLayers ? lean! : full!;
}
