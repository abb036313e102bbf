/** The element types of safetensors files: their sizes, their order in a file, and their conversion to f32. */

/** Bytes of one element, in the order of the format's own list of types: files are sorted by it, last first. */
const SIZES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

export type Dtype = keyof typeof SIZES;

const ORDER: readonly string[] = Object.keys(SIZES);

export function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(SIZES, value);
}

/** Bytes of one element. */
export function sizeOf(dtype: Dtype): number {
  return SIZES[dtype];
}

/** The place of a type in the format's list. */
export function orderOf(dtype: Dtype): number {
  return ORDER.indexOf(dtype);
}

/**
 * Floating-point elements as f32, exactly where f32 holds them (f16, bf16, f32), else rounded (f64). Null for a type that
 * is not floating-point.
 * @param bytes little-endian elements; may become part of the result
 */
export function toFloat32(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>): Float32Array | null {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % SIZES[dtype] === 0 ? bytes : bytes.slice();
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
