/** The codebook of NF4, which quantisation, the kernels and their reference share. */

/** The values of the 16 codes in f32 (`get_4bit_type("nf4")` in bitsandbytes/functional.py). */
export const NF4_CODEBOOK: Float32Array = Float32Array.of(
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
);

/** Between neighbouring values: a weight above midpoint k, after scaling, has a code above k; one at it has code k. */
export const NF4_MIDPOINTS: Float32Array = Float32Array.from(
  { length: 15 },
  (_, code) => (NF4_CODEBOOK[code]! + NF4_CODEBOOK[code + 1]!) / 2,
);

/** The smallest divisor that bitsandbytes uses, as f32: an all-zero block must not divide by zero. */
export const SMALLEST_ABSMAX: number = Math.fround(1e-38);
