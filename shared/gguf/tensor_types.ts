/** ggml's types of tensors that an export can have. */

export const GGUF_TYPES = ["F32", "F16", "Q8_0"] as const;
export type GgufType = typeof GGUF_TYPES[number];

interface TensorType {
  /** ggml_type. */
  readonly id: number;
  /** llama_ftype of a file that is mostly of this type. */
  readonly fileType: number;
  /** Elements that are encoded together; a row must be a multiple of them. */
  readonly blockSize: number;
  readonly blockBytes: number;
  /** The largest value that the type can hold. */
  readonly max: number;
  /** @param values whole blocks */
  readonly encode: (values: Float32Array) => Uint8Array;
}

const BLOCK = 32;
const F16_MAX = 65504;

export const TENSOR_TYPES: Readonly<Record<GgufType, TensorType>> = {
  F32: {
    ...{ id: 0, fileType: 0, blockSize: 1, blockBytes: 4, max: 3.4028234663852886e38 },
    encode: ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
  },
  F16: {
    ...{ id: 1, fileType: 1, blockSize: 1, blockBytes: 2, max: F16_MAX },
    encode: (values) => new Uint8Array(new Float16Array(values).buffer),
  },
  Q8_0: { id: 8, fileType: 7, blockSize: BLOCK, blockBytes: 2 + BLOCK, max: F16_MAX * 127, encode: encodeQ8 },
};

export function tensorBytes(type: GgufType, elementCount: number): number {
  const { blockSize, blockBytes } = TENSOR_TYPES[type];
  return elementCount / blockSize * blockBytes;
}

/**
 * Blocks of 32: a scale in f16, then 32 signed bytes (quantize_row_q8_0_ref in ggml-quants.c): scale = largest magnitude / 127,
 * value = round(x / scale), halves away from zero.
 */
function encodeQ8(values: Float32Array): Uint8Array {
  const blocks = values.length / BLOCK;
  const bytes = new Uint8Array(blocks * (2 + BLOCK));
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < blocks; block++) {
    const start = block * BLOCK;
    let largest = 0;
    for (let i = start; i < start + BLOCK; i++) largest = Math.max(largest, Math.abs(values[i]!));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const at = block * (2 + BLOCK);
    view.setFloat16(at, scale, true);
    for (let i = 0; i < BLOCK; i++) {
      const value = Math.fround(values[start + i]! * inverse);
      bytes[at + 2 + i] = Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
    }
  }
  return bytes;
}
