/** NF4 weights in f64, in plain loops: the reference of the kernels. */
import { NF4_CODEBOOK } from "../../../shared/checkpoint/nf4/codebook.ts";

/** The arrays behind an `Nf4GpuWeight`; `absmax` holds f32 or, with `doubleQuantized`, u8 codes. */
export interface Nf4Arrays {
  readonly rows: number;
  readonly columns: number;
  readonly codes: Uint8Array;
  readonly absmax: Float32Array | Uint8Array;
  readonly doubleQuantized: boolean;
  readonly nestedAbsmax: Float32Array;
  readonly nestedOffset: number;
  readonly dynamicMap: Float32Array;
}

/** The weight [rows, columns], decoded. */
export function nf4DecodeCpu(weight: Nf4Arrays): Float64Array {
  const { rows, columns, codes, absmax, doubleQuantized, nestedAbsmax, nestedOffset, dynamicMap } = weight;
  return Float64Array.from({ length: rows * columns }, (_, e) => {
    const byte = codes[e >> 1]!;
    const code = e % 2 === 0 ? byte >> 4 : byte & 15;
    const block = e >> 6;
    const scale = doubleQuantized
      ? dynamicMap[absmax[block]!]! * nestedAbsmax[block >> 8]! + nestedOffset
      : absmax[block]!;
    return NF4_CODEBOOK[code]! * scale;
  });
}
