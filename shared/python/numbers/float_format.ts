/**
 * A float in decimal digits, rounded half to even on its exact value as C's printf does. JavaScript's `toFixed` rounds
 * halves up and ends at 1e21.
 */

const VIEW = new DataView(new ArrayBuffer(8));

/** A finite float as mantissa · 2^exponent. */
function decompose(value: number): { mantissa: bigint; exponent: number } {
  VIEW.setFloat64(0, Math.abs(value));
  const bits = VIEW.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const fraction = bits & ((1n << 52n) - 1n);
  return biased === 0
    ? { mantissa: fraction, exponent: -1074 }
    : { mantissa: fraction | (1n << 52n), exponent: biased - 1075 };
}

/** |value| · 10^digits, rounded half to even. */
function scaled(value: number, digits: number): bigint {
  const { mantissa, exponent } = decompose(value);
  let top = mantissa;
  let bottom = 1n;
  if (exponent >= 0) top <<= BigInt(exponent);
  else bottom <<= BigInt(-exponent);
  if (digits >= 0) top *= 10n ** BigInt(digits);
  else bottom *= 10n ** BigInt(-digits);
  const quotient = top / bottom;
  const twice = (top % bottom) * 2n;
  return twice > bottom || (twice === bottom && (quotient & 1n) === 1n) ? quotient + 1n : quotient;
}

/** The digits of |value| with so many after the point: `%.*f`, without a sign. */
export function fixed(value: number, digits: number): string {
  const text = scaled(value, digits).toString().padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** `%.*e` without a sign: one digit, so many after the point, and the exponent. */
export function exponential(value: number, digits: number): string {
  const { text, exponent } = significant(value, digits + 1);
  const fraction = digits === 0 ? "" : `.${text.slice(1)}`;
  return `${text[0]}${fraction}e${exponentText(exponent)}`;
}

/** `%.*g` without a sign. `keepZeros`: the alternate form, which keeps trailing zeros and the point. */
export function general(value: number, digits: number, keepZeros: boolean): string {
  const precision = Math.max(1, digits);
  const { text, exponent } = significant(value, precision);
  const trim = (number: string) => keepZeros || !number.includes(".") ? number : number.replace(/\.?0+$/, "");
  if (exponent < -4 || exponent >= precision) {
    const mantissa = trim(precision === 1 ? text : `${text[0]}.${text.slice(1)}`);
    return `${mantissa}${keepZeros && precision === 1 ? "." : ""}e${exponentText(exponent)}`;
  }
  const decimals = precision - 1 - exponent;
  const number = trim(fixed(value, decimals));
  return keepZeros && decimals === 0 ? `${number}.` : number;
}

function exponentText(exponent: number): string {
  return `${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** The first digits of |value|, and the power of ten of the first one. */
function significant(value: number, digits: number): { text: string; exponent: number } {
  if (value === 0) return { text: "0".repeat(digits), exponent: 0 };
  const exponent = Number(Math.abs(value).toExponential().split("e")[1]);
  const text = scaled(value, digits - 1 - exponent).toString();
  // Rounding up may give one more digit (9.99 → 10.0).
  return text.length > digits ? { text: text.slice(0, digits), exponent: exponent + 1 } : { text, exponent };
}

/** `round(value, digits)` of a finite float. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || digits > 323) return value;
  if (digits < -308) return value < 0 ? -0 : 0;
  const rounded = Number(`${scaled(value, digits)}e${-digits}`);
  return value < 0 || Object.is(value, -0) ? -rounded : rounded;
}

/** `round(value, digits)` of an int. */
export function roundInteger(value: bigint, digits: bigint): bigint {
  if (digits >= 0n) return value;
  const unit = 10n ** -digits;
  const size = value < 0n ? -value : value;
  const twice = (size % unit) * 2n;
  let quotient = size / unit;
  if (twice > unit || (twice === unit && (quotient & 1n) === 1n)) quotient += 1n;
  return (value < 0n ? -quotient : quotient) * unit;
}
