/**
 * 16-bit floats in a kernel: two in a word, the one with the even index in the low half, as they lie in a file. They are decoded
 * with integer arithmetic, so that the f32 has the bits that a conversion on the CPU gives it: WGSL's unpack2x16float may flush
 * f16's subnormal numbers to zero.
 */

/** bf16 is the upper half of an f32; f16 has 5 bits of exponent and 10 of fraction. */
export type HalfFormat = "bf16" | "f16";

/** Of a table or matrix in memory. */
export type FloatFormat = HalfFormat | "f32";

/** Constants of a kernel that reads `format`. */
export function halfConstants(format: FloatFormat) {
  return { HALF: format !== "f32", BF16: format === "bf16" };
}

/**
 * For a template with the constants HALF and BF16. `f32_of_half(bits)`: of a half in a word's low 16 bits. `f32_of_halves(words)`:
 * of the four in two words.
 */
export const HALF_WGSL = `
//! if BF16
fn f32_of_half(bits: u32) -> f32 { return bitcast<f32>(bits << 16u); }
fn f32_of_halves(words: vec2u) -> vec4f {
  let low = words << vec2u(16u);
  let high = words & vec2u(0xffff0000u);
  return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}
//! end
//! if HALF
//! if !BF16
fn f32_of_half(bits: u32) -> f32 { return f32_of_f16(vec4u(bits)).x; }
fn f32_of_halves(words: vec2u) -> vec4f {
  let low = words & vec2u(0xffffu);
  let high = words >> vec2u(16u);
  return f32_of_f16(vec4u(low.x, high.x, low.y, high.y));
}
/** The exponent is biased by 15, in f32 by 127; subnormal numbers are a fraction times 2^-24, infinities and NaN the largest exponent. */
fn f32_of_f16(bits: vec4u) -> vec4f {
  let magnitude = bits & vec4u(0x7fffu);
  let normal = (magnitude << vec4u(13u)) + vec4u(112u << 23u);
  let special = (magnitude << vec4u(13u)) + vec4u(224u << 23u);
  let subnormal = bitcast<vec4u>(vec4f(magnitude) * 0x1p-24f);
  let finite = select(normal, subnormal, magnitude < vec4u(0x400u));
  let sign = (bits & vec4u(0x8000u)) << vec4u(16u);
  return bitcast<vec4f>(select(finite, special, magnitude >= vec4u(0x7c00u)) | sign);
}
//! end
//! end
`;
