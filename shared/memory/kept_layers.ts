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

/**
 * The most layers that a budget lets keep their activations, from 1 to all that a gradient passes.
 * @param budgetBytes null: no limit
 */
export function keptLayersWithin(
  spec: TransformerSpec,
  lora: LoraPlan,
  options: Omit<PlanOptions, "keptLayers">,
  budgetBytes: number | null,
): number {
  const most = trainedLayers(spec, lora);
  if (budgetBytes === null || !options.training) return most;
  const bytesWith = (keptLayers: number) => planMemory(spec, lora, { ...options, keptLayers }).totalBytes;
  const least = bytesWith(1);
  const eachBytes = bytesWith(2) - least;
  return Math.max(1, Math.min(most, 1 + Math.floor((budgetBytes - least) / eachBytes)));
}
