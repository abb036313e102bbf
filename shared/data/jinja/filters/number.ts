import { binary } from "../../../python/arithmetic.ts";
import { parseInteger, toFloatValue, toInt } from "../../../python/values/convert.ts";
import { fixed, roundFloat, roundInteger } from "../../../python/numbers/float_format.ts";
import { count, integer, iterate, numeric, truthy, use } from "../../../python/values/protocols.ts";
import { PyError, typeName, type Value } from "../../../python/values/value.ts";
import { type Argument, attributeGetter, filter, type FilterFunction, or } from "./filter_function.ts";

function isOf(error: unknown, ...types: string[]): boolean {
  return error instanceof PyError && types.includes(error.type);
}

function int(value: Value, otherwise: Argument, base: Argument): Value {
  try {
    return typeof value === "string"
      ? parseInteger(value, base === undefined ? 10 : count(base))
      : toInt(value);
  } catch (error) {
    if (!isOf(error, "TypeError", "ValueError")) throw error;
  }
  try {
    return toInt(toFloatValue(value));
  } catch (error) {
    if (!isOf(error, "TypeError", "ValueError", "OverflowError")) throw error;
    return or(otherwise, 0n);
  }
}

function float(value: Value, otherwise: Argument): Value {
  try {
    return toFloatValue(value);
  } catch (error) {
    if (!isOf(error, "TypeError", "ValueError")) throw error;
    return or(otherwise, 0);
  }
}

function abs(value: Value): Value {
  const number = numeric(value);
  if (number === null) {
    use(value);
    throw new PyError("TypeError", `bad operand type for abs(): '${typeName(value)}'`);
  }
  return typeof number === "bigint" ? (number < 0n ? -number : number) : Math.abs(number);
}

function round(value: Value, precision: Argument, method: Argument): Value {
  const how = or(method, "common");
  if (how !== "common" && how !== "ceil" && how !== "floor") {
    throw new PyError("FilterArgumentError", "method must be common, ceil or floor");
  }
  const digits = or(precision, 0n);
  if (how === "common") return roundCommon(value, digits);
  const scale = binary(10n, "**", digits);
  const scaled = binary(value, "*", scale);
  const number = numeric(scaled);
  if (number === null) throw new PyError("TypeError", `must be real number, not ${typeName(scaled)}`);
  const whole = typeof number === "bigint" ? number : how === "ceil" ? Math.ceil(number) : Math.floor(number);
  return binary(toInt(whole), "/", scale);
}

function roundCommon(value: Value, digits: Value): Value {
  const number = numeric(value);
  if (number === null) {
    use(value);
    throw new PyError("TypeError", `type ${typeName(value)} doesn't define __round__ method`);
  }
  if (digits === null) return typeof number === "bigint" ? number : toInt(roundFloat(number, 0));
  if (typeof number === "bigint") return roundInteger(number, integer(digits));
  return roundFloat(number, count(digits));
}

function sum(value: Value, attribute: Argument, start: Argument): Value {
  const get = attributeGetter(attribute);
  let total: Value = or(start, 0n);
  if (typeof total === "string") {
    throw new PyError("TypeError", "sum() can't sum strings [use ''.join(seq) instead]");
  }
  for (const item of iterate(value)) total = binary(total, "+", get(item));
  return total;
}

function fileSize(value: Value, binaryUnits: Argument): Value {
  const bytes = toFloatValue(value);
  const isBinary = binaryUnits !== undefined && truthy(binaryUnits);
  const base = isBinary ? 1024 : 1000;
  if (bytes === 1) return "1 Byte";
  if (bytes < base) return `${toInt(bytes)} Bytes`;
  const prefixes = isBinary
    ? ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
    : ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
  const at = prefixes.findIndex((_, i) => bytes < base ** (i + 2));
  const index = at === -1 ? prefixes.length - 1 : at;
  const size = base * bytes / base ** (index + 2);
  return `${Number.isFinite(size) ? fixed(size, 1) : size > 0 ? "inf" : "nan"} ${prefixes[index]}`;
}

export const NUMBER_FILTERS: Readonly<Record<string, FilterFunction>> = {
  abs: filter("", abs),
  filesizeformat: filter("binary?", fileSize),
  float: filter("default?", float),
  int: filter("default?, base?", int),
  round: filter("precision?, method?", round),
  sum: filter("attribute?, start?", sum),
};
