/** The element types of safetensors files: their sizes, their order in a file, and their conversion to f32. */

/**
 * Bits of one element, in the order of the format's own list of types (safetensors 0.8): files are sorted by it, last first.
 * Types below a byte are packed, and a tensor of them fills whole bytes.
 */
const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type Dtype = keyof typeof BITS;

const ORDER: readonly string[] = Object.keys(BITS);

export function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(BITS, value);
}

/** Bytes of `count` elements; a fraction if they do not fill whole bytes, which the format does not allow. */
export function bytesOf(dtype: Dtype, count: number): number {
  return count * BITS[dtype] / 8;
}

/** The place of a type in the format's list. */
export function orderOf(dtype: Dtype): number {
  return ORDER.indexOf(dtype);
}

/**
 * Floating-point elements as f32: exact from f16, bf16 and f32, rounded from f64. Null for a type that is not floating-point,
 * or that no supported base model is stored in.
 * @param bytes little-endian elements; may become part of the result
 */
export function toFloat32(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>): Float32Array | null {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % (BITS[dtype] / 8) === 0
    ? bytes
    : bytes.slice();
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case "F16":
      return new Float32Array(new Float16Array(buffer, byteOffset, byteLength / 2));
    case "F64":
      return new Float32Array(new Float64Array(buffer, byteOffset, byteLength / 8));
    case "BF16": {
      const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
      const words = new Uint32Array(halves.length);
      for (let i = 0; i < words.length; i++) words[i] = halves[i]! << 16;
      return new Float32Array(words.buffer);
    }
    default:
      return null;
  }
}
