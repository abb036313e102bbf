/** The codebook of NF4 in WGSL. */
import { NF4_CODEBOOK } from "../../../shared/checkpoint/nf4/codebook.ts";

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
