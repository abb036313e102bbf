/** One decoder layer, forward and backward: attention, then MLP. */
import type { GpuTensor } from "../device/tensor.ts";
import {
  type Attend,
  encodeAttentionBlock,
  encodeAttentionBlockBackward,
  encodeAttentionNorm,
} from "./attention_block.ts";
import { encodeGatedUnit, encodeMlpBlock, encodeMlpBlockBackward, encodeMlpNorm } from "./mlp_block.ts";
import type { LayerPass } from "./pass_context.ts";

/**
 * Forward of a layer. With `output` null, computes only what the backward needs, not the layer's result.
 * @param input residual stream [T, hidden], unchanged
 */
export function encodeLayer(at: LayerPass, input: GpuTensor, output: GpuTensor | null, attend: Attend): void {
  encodeAttentionBlock(at, input, attend);
  encodeMlpBlock(at, output);
}

/** What a kept layer's backward needs and its slab does not have: inputs of its linear layers, the same bits as in the forward. */
export function encodeNormsAndUnit(at: LayerPass, input: GpuTensor): void {
  encodeAttentionNorm(at, input);
  encodeMlpNorm(at);
  encodeGatedUnit(at);
}

/**
 * Backward of a layer: workspace.dHidden [T, hidden], the gradient of the layer's output, becomes the gradient of its input.
 * Writes the gradients of the layer's LoRA tensors and overwrites its activations.
 */
export function encodeLayerBackward(at: LayerPass, input: GpuTensor): void {
  encodeMlpBlockBackward(at);
  encodeAttentionBlockBackward(at, input);
}
