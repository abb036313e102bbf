/** `+ - * / // % **`, with Python's errors. */
import { checkItems, checkText } from "./values/limits.ts";
import { percentFormat } from "./format/percent_format.ts";
import { integer, numeric, use } from "./values/protocols.ts";
import { PyError, Tuple, tuple, typeName, UnsupportedError, type Value } from "./values/value.ts";

type Operator = "+" | "-" | "*" | "/" | "//" | "%" | "**";

/** The longest integer that is computed, in bits. */
const MAX_BITS = 1 << 17;

/** Throws a `PyError` whenever Python raises. */
export function binary(left: Value, operator: Operator, right: Value): Value {
  if (operator === "+" && typeof left === "string" && typeof right === "string") return left + right;
  if (operator === "%" && typeof left === "string") return percentFormat(left, right);
  const a = numeric(left);
  const b = numeric(right);
  if (a !== null && b !== null) {
    return typeof a === "bigint" && typeof b === "bigint"
      ? integers(a, operator, b)
      : floats(toFloat(a), operator, toFloat(b));
  }
  if (operator === "+") return concatenate(left, right);
  if (operator === "*") {
    if (isSequence(left)) return repeat(left, right);
    if (isSequence(right)) return repeat(right, left);
  }
  throw unsupported(left, operator, right);
}

/** `-value` and `+value`. */
export function unary(operator: "-" | "+", value: Value): Value {
  const number = numeric(value);
  if (number !== null) return operator === "-" ? -number : number;
  use(value);
  throw new PyError("TypeError", `bad operand type for unary ${operator}: '${typeName(value)}'`);
}

function concatenate(left: Value, right: Value): Value {
  if (Array.isArray(left) && Array.isArray(right) && left instanceof Tuple === right instanceof Tuple) {
    checkItems(left.length + right.length);
    return left instanceof Tuple ? tuple([...left, ...right]) : [...left, ...right];
  }
  use(left);
  use(right);
  if (typeof left === "string") {
    throw new PyError("TypeError", `can only concatenate str (not "${typeName(right)}") to str`);
  }
  if (Array.isArray(left)) {
    const type = typeName(left);
    throw new PyError("TypeError", `can only concatenate ${type} (not "${typeName(right)}") to ${type}`);
  }
  throw unsupported(left, "+", right);
}

function isSequence(value: Value): value is string | Value[] {
  return typeof value === "string" || Array.isArray(value);
}

function repeat(value: string | Value[], times: Value): Value {
  use(times);
  if (typeof times !== "bigint" && typeof times !== "boolean") {
    throw new PyError("TypeError", `can't multiply sequence by non-int of type '${typeName(times)}'`);
  }
  const whole = integer(times);
  const count = whole <= 0n ? 0 : Number(whole);
  if (typeof value === "string") checkText(value.length * count);
  else checkItems(value.length * count);
  if (typeof value === "string") return value.repeat(count);
  const items = Array.from({ length: count }, () => value).flat(1) as Value[];
  return value instanceof Tuple ? tuple(items) : items;
}

function integers(a: bigint, operator: Operator, b: bigint): Value {
  if (operator === "+") return a + b;
  if (operator === "-") return a - b;
  if (operator === "*") {
    checkBits(bits(a) + bits(b));
    return a * b;
  }
  if (operator === "/") {
    if (b === 0n) throw new PyError("ZeroDivisionError", "division by zero");
    return divide(a, b);
  }
  if (operator === "//") {
    if (b === 0n) throw new PyError("ZeroDivisionError", "integer division or modulo by zero");
    return floorDivide(a, b);
  }
  if (operator === "%") {
    if (b === 0n) throw new PyError("ZeroDivisionError", "integer modulo by zero");
    return a - floorDivide(a, b) * b;
  }
  if (b < 0n) return floats(toFloat(a), "**", toFloat(b));
  if (a < -1n || a > 1n) checkBits(bits(a) * Number(b));
  return a ** b;
}

function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b !== 0n && (a < 0n) !== (b < 0n) ? quotient - 1n : quotient;
}

/** Correctly rounded: beyond 2^53 a quotient of two rounded numbers would not be. */
function divide(a: bigint, b: bigint): number {
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  if (a <= limit && a >= -limit && b <= limit && b >= -limit) return Number(a) / Number(b);
  const negative = (a < 0n) !== (b < 0n);
  const [top, bottom] = [a < 0n ? -a : a, b < 0n ? -b : b];
  // A quotient of at least 66 bits whose last one says whether something was cut off rounds as the exact one does.
  const shift = Math.max(0, bits(bottom) - bits(top) + 66);
  const scaled = top << BigInt(shift);
  const quotient = (scaled / bottom) | (scaled % bottom === 0n ? 0n : 1n);
  const value = shift > 1000
    ? Number(quotient) / 2 ** 1000 / 2 ** (shift - 1000)
    : Number(quotient) / 2 ** shift;
  if (!Number.isFinite(value)) {
    throw new PyError("OverflowError", "integer division result too large for a float");
  }
  return negative ? -value : value;
}

function floats(a: number, operator: Operator, b: number): Value {
  if (operator === "+") return a + b;
  if (operator === "-") return a - b;
  if (operator === "*") return a * b;
  if (operator === "/") {
    if (b === 0) throw new PyError("ZeroDivisionError", "float division by zero");
    return a / b;
  }
  if (operator === "//") {
    if (b === 0) throw new PyError("ZeroDivisionError", "float floor division by zero");
    return divmod(a, b).quotient;
  }
  if (operator === "%") {
    if (b === 0) throw new PyError("ZeroDivisionError", "float modulo");
    return divmod(a, b).remainder;
  }
  return power(a, b);
}

/** CPython's `float_divmod`. */
function divmod(a: number, b: number): { quotient: number; remainder: number } {
  let remainder = a % b;
  let quotient = (a - remainder) / b;
  if (remainder !== 0) {
    if (b < 0 !== remainder < 0) {
      remainder += b;
      quotient -= 1;
    }
  } else remainder = b < 0 ? -0 : 0;
  if (quotient === 0) return { quotient: a / b < 0 || Object.is(a / b, -0) ? -0 : 0, remainder };
  const floor = Math.floor(quotient);
  return { quotient: quotient - floor > 0.5 ? floor + 1 : floor, remainder };
}

function power(a: number, b: number): number {
  if (a === 0 && b < 0) {
    throw new PyError("ZeroDivisionError", "0.0 cannot be raised to a negative power");
  }
  if (a === 1 || b === 0) return 1;
  if (a === -1 && !Number.isFinite(b) && !Number.isNaN(b)) return 1;
  if (a < 0 && Number.isFinite(a) && Number.isFinite(b) && !Number.isInteger(b)) {
    throw new UnsupportedError("a complex number (a negative number to a broken power)");
  }
  const result = a ** b;
  if (!Number.isFinite(result) && Number.isFinite(a) && Number.isFinite(b)) {
    throw new PyError("OverflowError", "(34, 'Numerical result out of range')");
  }
  return result;
}

/** `float(value)` of an int. */
function toFloat(value: bigint | number): number {
  const float = Number(value);
  if (typeof value === "bigint" && !Number.isFinite(float)) {
    throw new PyError("OverflowError", "int too large to convert to float");
  }
  return float;
}

function bits(value: bigint): number {
  return value.toString(16).length * 4;
}

function checkBits(count: number): void {
  if (count > MAX_BITS) {
    throw new PyError("OverflowError", `an integer of more than ${MAX_BITS} bits is not computed`);
  }
}

function unsupported(left: Value, operator: Operator, right: Value): PyError {
  use(left);
  use(right);
  const name = operator === "**" ? "** or pow()" : operator;
  return new PyError(
    "TypeError",
    `unsupported operand type(s) for ${name}: '${typeName(left)}' and '${typeName(right)}'`,
  );
}
