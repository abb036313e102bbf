/** NF4 weights in f64, in plain loops: what the kernels are checked against. */

/** The values of the 16 codes, see training.md. */
export const CODEBOOK = [
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
];

/** The arrays behind an `Nf4GpuWeight`; `absmax` holds f32 or, where `doubleQuantized`, u8 codes. */
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
    return CODEBOOK[code]! * scale;
  });
}
