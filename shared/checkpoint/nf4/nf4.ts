/**
 * Weights in NF4 and back in f32: blocks of 64 weights share one absmax, each weight is one of 16 values between −1 and 1.
 *
 * With double quantisation the absmax values are themselves quantised to 8 bits (nf4_absmax.ts).
 */
import { NF4_CODEBOOK } from "./codebook.ts";
import { dequantizeAbsmax } from "./nf4_absmax.ts";

/** Weights that share one absmax. */
export const NF4_BLOCK_SIZE = 64;

/**
 * A weight [rows, columns] in NF4, flattened row by row; block i covers elements 64·i … 64·i+63, across row ends.
 * Either `absmax` or the nested fields are set.
 */
export interface Nf4Weights {
  readonly rows: number;
  readonly columns: number;
  /** Two codes a byte, the even element in the high nibble [⌈rows·columns/2⌉]. */
  readonly codes: Uint8Array;
  /** f32 [⌈rows·columns/64⌉], or null with double quantisation. */
  readonly absmax: Float32Array | null;
  /** 8-bit codes of the absmax values [⌈rows·columns/64⌉], or null. */
  readonly absmaxCodes: Uint8Array | null;
  /** One scale for 256 absmax values [⌈absmaxCodes.length/256⌉], or null. */
  readonly nestedAbsmax: Float32Array | null;
  /** absmax of block i = DYNAMIC_MAP[absmaxCodes[i]]·nestedAbsmax[i>>8] + nestedOffset, each operation rounded to f32. */
  readonly nestedOffset: number;
}

/** The absmax of each block in f32 [⌈rows·columns/64⌉]. */
export function absmaxOf(weights: Nf4Weights): Float32Array {
  if (weights.absmax !== null) return weights.absmax;
  const { absmaxCodes, nestedAbsmax, nestedOffset } = weights;
  if (absmaxCodes === null || nestedAbsmax === null) throw new RangeError("NF4 weights without any absmax");
  return dequantizeAbsmax({ absmaxCodes, nestedAbsmax, nestedOffset });
}

/** The weight in f32 [rows, columns]: codebook value × absmax, rounded once. */
export function dequantizeNf4(weights: Nf4Weights): Float32Array {
  const values = new Float32Array(weights.rows * weights.columns);
  dequantizeNf4Range(weights.codes, absmaxOf(weights), 0, values);
  return values;
}

/** Fills `values` with the weight's elements from `first` on. */
export function dequantizeNf4Range(
  codes: Uint8Array,
  absmax: Float32Array,
  first: number,
  values: Float32Array,
): void {
  for (let at = 0, i = first; at < values.length; at++, i++) {
    const byte = codes[i >> 1]!;
    values[at] = NF4_CODEBOOK[(i & 1) === 0 ? byte >> 4 : byte & 15]! * absmax[i >> 6]!;
  }
}
