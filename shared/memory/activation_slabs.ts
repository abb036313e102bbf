/** How activations lie in memory: what each kept layer has for itself, and what all share. */
import type { TransformerSpec } from "../model/transformer_spec.ts";
import { activationSizes, type PlanOptions, type Sizes } from "./buffer_sizes.ts";
import type { LoraPlan } from "./lora_plan.ts";

/**
 * What a layer's norms and its gated unit make again from the rest, for a hundredth of the time that the layer's products take: a
 * third of its activations.
 */
const REMADE: readonly string[] = ["attentionInput", "mlpInput", "mlpInner"];

export interface ActivationSlabs {
  /** Of one layer. */
  readonly each: Sizes;
  /** Of all layers together. */
  readonly shared: Sizes;
}

export function activationSlabs(
  spec: TransformerSpec,
  lora: LoraPlan,
  { maxTokens, remakesActivations = false }: Pick<PlanOptions, "maxTokens" | "remakesActivations">,
): ActivationSlabs {
  const sizes = Object.entries(activationSizes(spec, lora, maxTokens));
  const isShared = (name: string) => remakesActivations && REMADE.includes(name);
  return {
    each: Object.fromEntries(sizes.filter(([name]) => !isShared(name))),
    shared: Object.fromEntries(sizes.filter(([name]) => isShared(name))),
  };
}
