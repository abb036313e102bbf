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

/**
 * WGSL of `codebook_value(code)`: selects by the code's bits, because a CPU driver loads from an array lane by lane, while
 * it selects whole vectors.
 */
export const CODEBOOK_WGSL = `
fn codebook_value(code: u32) -> f32 {
  let bit_0 = (code & 1u) != 0u;
  let bit_1 = (code & 2u) != 0u;
  let bit_2 = (code & 4u) != 0u;
  let bit_3 = (code & 8u) != 0u;
  return ${selectByBits(NF4_CODEBOOK)};
}
`;

/** A WGSL expression of the value whose index has the bits bit_0, bit_1, …; the count is a power of two. */
function selectByBits(values: Float32Array): string {
  if (values.length === 1) return Number.isInteger(values[0]) ? `${values[0]}.0` : String(values[0]);
  const half = values.length / 2;
  const [low, high] = [values.subarray(0, half), values.subarray(half)].map(selectByBits);
  return `select(${low}, ${high}, bit_${Math.log2(half)})`;
}
