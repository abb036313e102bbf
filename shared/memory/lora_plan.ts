/** Which linear layers carry LoRA, and how their tensors lie in the flat gradient. */
import type { LoraSpec } from "../job/job_spec_schema.ts";
import { adapterModules } from "../job/adapter_modules.ts";
import { type GradientLayout, layoutAdapter } from "../model/gradient_layout.ts";
import { modelModules } from "../model/model_tensors.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";

/** LoRA on one linear layer. */
interface LoraModule {
  /** Keys the dropout masks; fixed for a model and its `target_modules`. */
  readonly index: number;
  /** Indices of its tensors in the layout. */
  readonly a: number;
  readonly b: number;
  readonly rank: number;
  /** alpha/r, or alpha/√r with rsLoRA: the factor of B·A·x. */
  readonly scale: number;
}

export interface LoraPlan {
  /** The largest one of the modules; 0 without LoRA. */
  readonly rank: number;
  readonly dropout: number;
  /** By the linear layer's name; layers without LoRA are absent. */
  readonly modules: ReadonlyMap<string, LoraModule>;
  readonly layout: GradientLayout;
}

const NO_LORA: LoraPlan = {
  rank: 0,
  dropout: 0,
  modules: new Map(),
  layout: { tensors: [], elementCount: 0, parameterCount: 0 },
};

/**
 * Places LoRA on the layers that the fields of `lora` select. The rank may exceed a layer's size, as in PEFT.
 * @param lora null for the base model alone
 * @throws LoraFleetError `invalid_request` if a name or the pattern matches nothing
 */
export function planLora(spec: TransformerSpec, lora: LoraSpec | null): LoraPlan {
  if (lora === null) return NO_LORA;
  const adapted = adapterModules(lora, modelModules(spec));
  return {
    rank: adapted.reduce((largest, { rank }) => Math.max(largest, rank), 0),
    dropout: lora.lora_dropout,
    modules: new Map(
      adapted.map(({ name, rank, scale }, index) => [
        name,
        { index, a: 2 * index, b: 2 * index + 1, rank, scale },
      ]),
    ),
    layout: layoutAdapter(adapted),
  };
}
