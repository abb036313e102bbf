/** Which linear layers carry LoRA, how their tensors lie in the flat gradient, and how a fresh adapter starts. */
import type { LoraSpec } from "../../shared/job/job_spec.ts";
import { targetedModules } from "../../shared/job/target_modules.ts";
import type { GradientLayout, GradientTensor } from "../optimizer/gradient_layout.ts";
import { GRADIENT_BLOCK_SIZE } from "../kernels/gradients/gradient_sums.ts";
import { type LinearModule, linearModules, type TransformerSpec } from "./transformer_spec.ts";

/** LoRA on one linear layer. */
export interface LoraModule {
  /** A number for life within the model: keys the dropout masks. */
  readonly index: number;
  readonly linear: LinearModule;
  /** Indices of its tensors in the layout. */
  readonly a: number;
  readonly b: number;
}

export interface LoraPlan {
  /** 0 without LoRA. */
  readonly rank: number;
  /** alpha/r, or alpha/√r with rsLoRA: the factor of B·A·x. */
  readonly scale: number;
  readonly dropout: number;
  /** LoRA by the linear layer's name; layers without LoRA are absent. */
  readonly modules: ReadonlyMap<string, LoraModule>;
  readonly layout: GradientLayout;
}

const NO_LORA: LoraPlan = {
  rank: 0,
  scale: 0,
  dropout: 0,
  modules: new Map(),
  layout: { tensors: [], elementCount: 0, parameterCount: 0 },
};

/**
 * Places LoRA on the layers that `target_modules` means. The rank may exceed a layer's size, as PEFT lets it.
 * @param lora null for the base model alone
 * @throws LoraFleetError `invalid_request` where a name or the pattern matches nothing
 */
export function planLora(spec: TransformerSpec, lora: LoraSpec | null): LoraPlan {
  if (lora === null) return NO_LORA;
  const { r: rank } = lora;
  const chosen = targetedModules(lora.target_modules, linearModules(spec));
  const modules = new Map<string, LoraModule>();
  const tensors: GradientTensor[] = [];
  let offset = 0;
  let parameterCount = 0;
  const place = (name: string, rows: number, columns: number): number => {
    tensors.push({ name, shape: [rows, columns], offset });
    parameterCount += rows * columns;
    offset += Math.ceil(rows * columns / GRADIENT_BLOCK_SIZE) * GRADIENT_BLOCK_SIZE;
    return tensors.length - 1;
  };
  chosen.forEach((linear, index) => {
    const { name, outFeatures, inFeatures } = linear;
    const a = place(`base_model.model.${name}.lora_A.weight`, rank, inFeatures);
    const b = place(`base_model.model.${name}.lora_B.weight`, outFeatures, rank);
    modules.set(name, { index, linear, a, b });
  });
  return {
    rank,
    scale: lora.use_rslora ? lora.lora_alpha / Math.sqrt(rank) : lora.lora_alpha / rank,
    dropout: lora.lora_dropout,
    modules,
    layout: { tensors, elementCount: offset, parameterCount },
  };
}

/**
 * A fresh adapter: A from PEFT's Kaiming-uniform with a = √5, that is uniform in ±1/√in; B zero. Each tensor has its own
 * counter-based sequence, so every worker makes the same adapter without any of it travelling.
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
