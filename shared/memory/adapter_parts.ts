/**
 * The flat adapter in parts, each small enough for one binding. A part is whole tensors in the layout's order, so that the parts
 * one after the other are the flat array: on the wire, in checkpoints and in digests nothing tells how it was cut.
 */
import { type GradientLayout, rangeOf } from "../model/gradient_layout.ts";

export interface AdapterPart {
  /** Its first element in the flat array; a multiple of `GRADIENT_BLOCK_SIZE`. */
  readonly offset: number;
  /** Its elements, padding included. */
  readonly count: number;
  /** The tensors [firstTensor, endTensor) of the layout. */
  readonly firstTensor: number;
  readonly endTensor: number;
}

/**
 * As few parts as there can be, and at least one.
 * @param maxBytes of a part in f32; a tensor that is larger is a part of its own, which no device binds
 */
export function adapterParts(layout: GradientLayout, maxBytes: number): AdapterPart[] {
  const maxCount = Math.floor(maxBytes / Float32Array.BYTES_PER_ELEMENT);
  const parts: AdapterPart[] = [];
  let part: AdapterPart = { offset: 0, count: 0, firstTensor: 0, endTensor: 0 };
  layout.tensors.forEach((_, index) => {
    const [start, end] = rangeOf(layout, index);
    if (part.count > 0 && end - part.offset > maxCount) {
      parts.push(part);
      part = { offset: start, count: 0, firstTensor: index, endTensor: index };
    }
    part = { ...part, count: end - part.offset, endTensor: index + 1 };
  });
  return [...parts, part];
}
