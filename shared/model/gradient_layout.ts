/** The flat array of an adapter: the order of its tensors, of their gradient and of both moments. */
import type { LinearModule } from "./model_tensors.ts";

/** Tensors start at multiples of this many elements, so that each can be bound by itself on a GPU. */
export const GRADIENT_BLOCK_SIZE = 64;

/** One LoRA tensor in the flat gradient. */
interface GradientTensor {
  /** PEFT's name: `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  readonly name: string;
  readonly shape: readonly [rows: number, columns: number];
  /** First element in the flat gradient; a multiple of `GRADIENT_BLOCK_SIZE`. */
  readonly offset: number;
}

export interface GradientLayout {
  readonly tensors: readonly GradientTensor[];
  /** Elements of the flat array, padding included. */
  readonly elementCount: number;
  /** LoRA parameters, padding not included. */
  readonly parameterCount: number;
}

/** Places lora_A [rank, in] and lora_B [out, rank] of each module, one pair after the other. */
export function layoutAdapter(
  modules: readonly (LinearModule & { readonly rank: number })[],
): GradientLayout {
  const tensors: GradientTensor[] = [];
  let [offset, parameterCount] = [0, 0];
  for (const { name, outFeatures, inFeatures, rank } of modules) {
    for (const [side, rows, columns] of [["A", rank, inFeatures], ["B", outFeatures, rank]] as const) {
      tensors.push({ name: `base_model.model.${name}.lora_${side}.weight`, shape: [rows, columns], offset });
      offset += Math.ceil(rows * columns / GRADIENT_BLOCK_SIZE) * GRADIENT_BLOCK_SIZE;
      parameterCount += rows * columns;
    }
  }
  return { tensors, elementCount: offset, parameterCount };
}

/** Elements of tensor `index` with the padding behind it: [start, end) in the flat array. */
export function rangeOf(layout: GradientLayout, index: number): [start: number, end: number] {
  return [layout.tensors[index]!.offset, layout.tensors[index + 1]?.offset ?? layout.elementCount];
}
