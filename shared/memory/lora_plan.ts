/** Which linear layers carry LoRA, how their tensors lie in the flat gradient, and how a fresh adapter starts. */
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

/**
 * A fresh adapter: A from PEFT's Kaiming-uniform with a = √5, that is uniform in ±1/√in; B zero. Each tensor has its own
 * counter-based sequence, so that every worker draws the same adapter and none has to be sent.
 */
export function initialAdapter(layout: GradientLayout, seed: number): Float32Array {
  const adapter = new Float32Array(layout.elementCount);
  layout.tensors.forEach(({ name, shape: [rows, columns], offset }, index) => {
    if (!name.endsWith(".lora_A.weight")) return;
    const bound = 1 / Math.sqrt(columns);
    for (let i = 0; i < rows * columns; i++) {
      adapter[offset + i] = (hash(seed, index, i) / 2 ** 31 - 1) * bound;
    }
  });
  return adapter;
}

/** A uniform u32 from three counters: murmur3's finaliser over their mix. */
function hash(seed: number, tensor: number, element: number): number {
  let h = Math.imul(seed ^ Math.imul(tensor + 1, 0x9e37_79b1), 0x85eb_ca6b) ^ element;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  h = Math.imul(h ^ (h >>> 16), 0x27d4_eb2f) + seed;
  h = Math.imul(h ^ (h >>> 15), 0x85eb_ca6b);
  return (h ^ (h >>> 13)) >>> 0;
}
