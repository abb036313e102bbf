/**
 * The natural logarithm from sums, products and quotients alone. `Math.log` may differ in its last bit from one machine to
 * another; IEEE's four operations may not.
 */

const FRACTION_BITS = 20;
const number = new Float64Array(1);
const words = new Uint32Array(number.buffer);

/** Of a normal positive number; within 4e-16 of the true value, relative or absolute. */
export function exactLog(x: number): number {
  number[0] = x;
  // Little-endian, as every machine with a GPU is: the exponent lies in the second word.
  let exponent = (words[1]! >>> FRACTION_BITS) - 1023;
  words[1] = (words[1]! & (2 ** FRACTION_BITS - 1)) | (1023 << FRACTION_BITS);
  let mantissa = number[0]!;
  if (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent++;
  }
  // ln m = 2·artanh((m − 1)/(m + 1)), with |t| ≤ 0.172.
  const t = (mantissa - 1) / (mantissa + 1);
  const square = t * t;
  let series = 0;
  for (let k = 23; k >= 1; k -= 2) series = series * square + 1 / k;
  return exponent * Math.LN2 + 2 * t * series;
}
