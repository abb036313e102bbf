/** `int(value)` and `float(value)`. */
import { strRepr } from "../text/str_repr.ts";
import { SPACE_CLASS } from "../text/whitespace.ts";
import { PyError, typeName, type Value } from "./value.ts";
import { use } from "./protocols.ts";

const EDGE_SPACE = new RegExp(`^${SPACE_CLASS}+|${SPACE_CLASS}+$`, "g");
const MAX_DIGITS = 4300;
const PREFIXES: Readonly<Record<string, number>> = { "0b": 2, "0o": 8, "0x": 16 };

/** `int(value)`. Throws a `TypeError`, `ValueError` or `OverflowError` of Python's. */
export function toInt(value: Value): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "string") return parseInteger(value, 10);
  if (typeof value === "number") {
    if (Number.isNaN(value)) throw new PyError("ValueError", "cannot convert float NaN to integer");
    if (!Number.isFinite(value)) {
      throw new PyError("OverflowError", "cannot convert float infinity to integer");
    }
    return BigInt(Math.trunc(value));
  }
  use(value);
  throw new PyError(
    "TypeError",
    `int() argument must be a string, a bytes-like object or a real number, not '${typeName(value)}'`,
  );
}

/** `int(text, base)`. */
export function parseInteger(text: string, base: number): bigint {
  const invalid = () =>
    new PyError("ValueError", `invalid literal for int() with base ${base}: ${strRepr(text)}`);
  if (base !== 0 && (base < 2 || base > 36)) {
    throw new PyError("ValueError", "int() base must be >= 2 and <= 36, or 0");
  }
  const [, sign, body] = /^([-+]?)([\s\S]*)$/.exec(asciiDigits(text.replace(EDGE_SPACE, "")).toLowerCase())!;
  let digits = body!;
  let radix = base;
  const prefix = PREFIXES[digits.slice(0, 2)];
  if (prefix !== undefined && (base === 0 || base === prefix)) {
    radix = prefix;
    digits = digits.slice(2).replace(/^_/, "");
  } else if (base === 0) {
    radix = 10;
    if (/^0[0-9_]*[1-9]/.test(digits)) throw invalid();
  }
  if (!/^[0-9a-z]+(_[0-9a-z]+)*$/.test(digits)) throw invalid();
  digits = digits.replaceAll("_", "");
  if (![...digits].every((digit) => parseInt(digit, 36) < radix)) throw invalid();
  if (digits.length > MAX_DIGITS) {
    throw new PyError("ValueError", `Exceeds the limit (${MAX_DIGITS} digits) for integer string conversion`);
  }
  let value = 0n;
  if (radix === 10) value = BigInt(digits);
  else for (const digit of digits) value = value * BigInt(radix) + BigInt(parseInt(digit, 36));
  return sign === "-" ? -value : value;
}

/** `float(value)`. Throws a `TypeError` or `ValueError` of Python's. */
export function toFloatValue(value: Value): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return Number(value);
  if (typeof value === "bigint") {
    const float = Number(value);
    if (!Number.isFinite(float)) throw new PyError("OverflowError", "int too large to convert to float");
    return float;
  }
  use(value);
  if (typeof value !== "string") {
    throw new PyError(
      "TypeError",
      `float() argument must be a string or a real number, not '${typeName(value)}'`,
    );
  }
  const text = asciiDigits(value.replace(EDGE_SPACE, "")).toLowerCase();
  const special = /^([-+]?)(?:(inf|infinity)|nan)$/.exec(text);
  if (special !== null) return special[2] === undefined ? NaN : special[1] === "-" ? -Infinity : Infinity;
  const number = String.raw`\d+(?:_\d+)*`;
  const valid = new RegExp(`^[-+]?(?:${number}\\.?(?:${number})?|\\.${number})(?:e[-+]?${number})?$`);
  if (!valid.test(text)) {
    throw new PyError("ValueError", `could not convert string to float: ${strRepr(value)}`);
  }
  return Number(text.replaceAll("_", ""));
}

/** Python reads the decimal digits of every script. */
function asciiDigits(text: string): string {
  return text.replace(/\p{Nd}/gu, (char) => decimalDigit(char) ?? char);
}

/** The value of a decimal digit: they stand in rows of ten. */
function decimalDigit(char: string): string | null {
  if (!/^\p{Nd}$/u.test(char)) return null;
  const point = char.codePointAt(0)!;
  // The mathematical digits are five rows without a gap that begin at U+1D7CE.
  if (point >= 0x1d7ce && point <= 0x1d7ff) return String((point - 0x1d7ce) % 10);
  let zero = point;
  while (point - zero < 9 && /^\p{Nd}$/u.test(String.fromCodePoint(zero - 1))) zero--;
  return String(point - zero);
}
