/** The flat gradient of an adapter: how its LoRA tensors lie in one array. */

/** One LoRA tensor in the flat gradient. */
export interface GradientTensor {
  /** PEFT's name: `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  readonly name: string;
  readonly shape: readonly [rows: number, columns: number];
  /** First element in the flat gradient; a multiple of 64, so that every tensor can be bound by itself. */
  readonly offset: number;
}

/** How the adapter's tensors lie in one flat array: the order of the adapter, its gradient and both moments. */
export interface GradientLayout {
  readonly tensors: readonly GradientTensor[];
  /** Elements of the flat array, padding included. */
  readonly elementCount: number;
  /** LoRA parameters, padding not included. */
  readonly parameterCount: number;
}

/** Elements of tensor `index`, padding behind it included: [start, end) in the flat array. */
export function rangeOf(layout: GradientLayout, index: number): [start: number, end: number] {
  return [layout.tensors[index]!.offset, layout.tensors[index + 1]?.offset ?? layout.elementCount];
}
