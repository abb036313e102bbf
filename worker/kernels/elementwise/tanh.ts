/** The hyperbolic tangent in WGSL, to within a few units in the last place at any magnitude. */

/**
 * WGSL of `tanh_of(x)`. WGSL's own tanh has no bound on its relative error: drivers that compute it from exponentials lose the
 * digits of small arguments, and some return NaN for large ones. Below 0.625, the polynomial of Cephes' `tanhf`.
 */
export function tanhSource(type: "f32" | "vec4f"): string {
  return `
fn tanh_of(x: ${type}) -> ${type} {
  let size = abs(x);
  let z = size * size;
  var tail = z * -5.70498872745e-3 + 2.06390887954e-2;
  tail = z * tail - 5.37397155531e-2;
  tail = z * tail + 1.33314422036e-1;
  tail = z * tail - 3.33332819422e-1;
  let large = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
  return sign(x) * select(large, size + size * z * tail, size < ${type}(0.625));
}
`;
}
