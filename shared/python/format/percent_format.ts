/** `text % values`: printf's formats. */
import { codePointLength } from "../text/code_points.ts";
import { exponential, fixed, general } from "../numbers/float_format.ts";
import { numeric, use } from "../values/protocols.ts";
import { repr, str } from "../values/repr.ts";
import { asciiRepr } from "./ascii_repr.ts";
import { subscript } from "../values/subscript.ts";
import { PyError, PyObject, Tuple, typeName, type Value } from "../values/value.ts";

const DIRECTIVE = /%(?:\(((?:[^()]|\([^()]*\))*)\))?([-#0 +]*)(\*|\d*)(?:\.(\*|\d*))?[hlL]?([\s\S]?)/gu;
/** Objects that may be left over, as dicts and lists may: Python takes them for mappings. */
const SUBSCRIPTABLE: ReadonlySet<string> = new Set(["Undefined", "range"]);
/** Wider fields are a mistake or an attack. */
const MAX_WIDTH = 1 << 20;

/** Throws a `PyError` whenever Python raises. */
export function percentFormat(format: string, values: Value): string {
  const given = values instanceof Tuple ? values : [values];
  let used = 0;
  let named = false;
  const next = () => {
    if (used >= given.length) throw new PyError("TypeError", "not enough arguments for format string");
    return given[used++]!;
  };
  const star = () => {
    const value = next();
    if (typeof value !== "bigint") throw new PyError("TypeError", "* wants int");
    return Number(value);
  };
  const text = format.replace(DIRECTIVE, (_, key, flags: string, width, precision, conversion) => {
    if (key !== undefined) {
      named = true;
      const value = namedValue(values, key);
      return field(flags, width, precision, conversion, () => value, star);
    }
    if (conversion === "%") return "%";
    return field(flags, width, precision, conversion, next, star);
  });
  const isMapping = values instanceof Map || (Array.isArray(values) && !(values instanceof Tuple)) ||
    (values instanceof PyObject && SUBSCRIPTABLE.has(values.typeName));
  if (!named && used < given.length && !isMapping) {
    throw new PyError("TypeError", "not all arguments converted during string formatting");
  }
  return text;
}

function namedValue(values: Value, key: string): Value {
  if (values instanceof PyObject) use(values);
  if (!(values instanceof Map)) throw new PyError("TypeError", "format requires a mapping");
  const value = subscript(values, key);
  if (value === undefined) throw new PyError("KeyError", repr(key));
  return value;
}

function field(
  flags: string,
  width: string,
  precision: string | undefined,
  conversion: string,
  next: () => Value,
  star: () => number,
): string {
  const wide = width === "*" ? star() : Number(width || 0);
  const exact = precision === undefined
    ? null
    : precision === "*"
    ? Math.max(0, star())
    : Number(precision || 0);
  if (Math.abs(wide) > MAX_WIDTH || (exact ?? 0) > MAX_WIDTH) {
    throw new PyError("ValueError", "width too big");
  }
  if (conversion === "") throw new PyError("ValueError", "incomplete format");
  if (conversion === "%") return "%";
  const { sign, body, numeric } = convert(conversion, next(), flags, exact);
  const left = flags.includes("-") || wide < 0;
  const fill = Math.abs(wide) - sign.length - codePointLength(body);
  if (fill <= 0) return sign + body;
  if (left) return sign + body + " ".repeat(fill);
  return flags.includes("0") && numeric ? sign + "0".repeat(fill) + body : " ".repeat(fill) + sign + body;
}

interface Converted {
  /** With a prefix such as 0x. */
  readonly sign: string;
  readonly body: string;
  readonly numeric: boolean;
}

function convert(conversion: string, value: Value, flags: string, precision: number | null): Converted {
  const textual = (text: string): Converted => ({
    sign: "",
    body: precision === null ? text : Array.from(text).slice(0, precision).join(""),
    numeric: false,
  });
  if (conversion === "s") return textual(str(value));
  if (conversion === "r") return textual(repr(value));
  if (conversion === "a") return textual(asciiRepr(value));
  if (conversion === "c") return textual(character(value));
  if (/^[diuxXo]$/.test(conversion)) return convertInteger(conversion, value, flags, precision);
  if (/^[eEfFgG]$/.test(conversion)) return convertFloat(conversion, value, flags, precision ?? 6);
  throw new PyError("ValueError", `unsupported format character '${conversion}'`);
}

function signOf(negative: boolean, flags: string): string {
  return negative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
}

function convertInteger(
  conversion: string,
  value: Value,
  flags: string,
  precision: number | null,
): Converted {
  let number = numeric(value);
  use(value);
  const isDecimal = "diu".includes(conversion);
  if (number === null || (typeof number === "number" && !isDecimal)) {
    throw new PyError(
      "TypeError",
      `%${conversion} format: ${isDecimal ? "a real number" : "an integer"} is required, not ` +
        `${typeName(value)}`,
    );
  }
  if (typeof number === "number") {
    if (!Number.isFinite(number)) {
      const type = Number.isNaN(number) ? "ValueError" : "OverflowError";
      throw new PyError(type, `cannot convert float ${Number.isNaN(number) ? "NaN" : "infinity"} to integer`);
    }
    number = BigInt(Math.trunc(number));
  }
  const size = number < 0n ? -number : number;
  const base = isDecimal ? 10 : conversion === "o" ? 8 : 16;
  const digits = size.toString(base).padStart(precision ?? 0, "0");
  const prefix = !flags.includes("#") || isDecimal ? "" : conversion === "o" ? "0o" : `0${conversion}`;
  return {
    sign: signOf(number < 0n, flags) + prefix,
    body: conversion === "X" ? digits.toUpperCase() : digits,
    numeric: true,
  };
}

function convertFloat(conversion: string, value: Value, flags: string, precision: number): Converted {
  const number = numeric(value);
  use(value);
  if (number === null) throw new PyError("TypeError", `must be real number, not ${typeName(value)}`);
  const float = Number(number);
  const body = floatBody(conversion.toLowerCase(), float, precision, flags.includes("#"));
  return {
    sign: signOf(float < 0 || Object.is(float, -0), flags),
    body: conversion === conversion.toUpperCase() ? body.toUpperCase() : body,
    numeric: true,
  };
}

/** |value| as `e`, `f` or `g` writes it. */
export function floatBody(conversion: string, value: number, precision: number, alternate: boolean): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return "inf";
  if (conversion === "g") return general(value, precision, alternate);
  const body = conversion === "e" ? exponential(value, precision) : fixed(value, precision);
  if (!alternate || precision > 0) return body;
  return conversion === "e" ? body.replace("e", ".e") : `${body}.`;
}

function character(value: Value): string {
  if (typeof value === "string") {
    if (codePointLength(value) === 1) return value;
  } else if (typeof value === "bigint" || typeof value === "boolean") {
    const point = Number(value);
    if (point >= 0 && point <= 0x10ffff) return String.fromCodePoint(point);
    throw new PyError("OverflowError", "%c arg not in range(0x110000)");
  }
  use(value);
  throw new PyError("TypeError", "%c requires int or char");
}
