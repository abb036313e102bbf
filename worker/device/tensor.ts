/**
 * A named range of GPU memory. Shapes live with the code that knows them: a kernel gets its rows and columns in its
 * params, so that one buffer sized for the largest micro-batch serves every smaller one.
 */
export interface GpuTensor {
  readonly label: string;
  readonly buffer: GPUBuffer;
  /** A multiple of 256, WebGPU's binding alignment. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** A tensor for each entry of a record of sizes. */
export type TensorsFor<S> = { readonly [K in keyof S]: GpuTensor };

export type Tensors<Name extends PropertyKey> = { readonly [N in Name]: GpuTensor };

/** WebGPU's `minStorageBufferOffsetAlignment`, at its default, which every device supports. */
const BINDING_ALIGNMENT_BYTES = 256;

/**
 * A part of a tensor, as a tensor.
 * @param byteOffset from the start of `tensor`; a multiple of 256
 */
export function sliceTensor(
  tensor: GpuTensor,
  label: string,
  byteOffset: number,
  byteLength: number,
): GpuTensor {
  if (byteOffset % BINDING_ALIGNMENT_BYTES !== 0 || byteOffset + byteLength > tensor.byteLength) {
    throw new RangeError(
      `slice "${label}" [${byteOffset}, ${byteOffset + byteLength}) of tensor "${tensor.label}" ` +
        `(${tensor.byteLength} bytes): the offset must be a multiple of ${BINDING_ALIGNMENT_BYTES} and the end inside`,
    );
  }
  return { label, buffer: tensor.buffer, byteOffset: tensor.byteOffset + byteOffset, byteLength };
}
