/** `format(value, spec)`: the format specification mini-language. */
import { codePointLength } from "../text/code_points.ts";
import { floatRepr } from "../numbers/float_repr.ts";
import { floatBody } from "./percent_format.ts";
import { str } from "../values/repr.ts";
import { PyError, PyObject, typeName, type Value } from "../values/value.ts";

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

interface Spec {
  readonly fill: string | undefined;
  readonly align: string | undefined;
  readonly sign: string;
  /** Write a zero without its sign. */
  readonly unsignedZero: boolean;
  readonly alternate: boolean;
  readonly zero: boolean;
  readonly width: number;
  readonly grouping: string | undefined;
  readonly precision: number | null;
  readonly type: string;
}

/** Throws a `PyError` whenever Python raises. */
export function formatValue(value: Value, text: string): string {
  if (text === "") return str(value);
  if (value === null || typeof value === "object") {
    if (value instanceof PyObject) value.use();
    throw new PyError("TypeError", `unsupported format string passed to ${typeName(value)}.__format__`);
  }
  const spec = parseSpec(text, value);
  if (typeof value === "string") return formatText(value, spec);
  if (typeof value === "boolean") return formatInteger(value ? 1n : 0n, spec);
  return typeof value === "bigint" ? formatInteger(value, spec) : formatFloat(value, spec);
}

function parseSpec(text: string, value: Value): Spec {
  const match = SPEC.exec(text);
  if (match === null) {
    throw new PyError(
      "ValueError",
      `Invalid format specifier '${text}' for object of type '${typeName(value)}'`,
    );
  }
  const [, fill, align, sign, z, alternate, zero, width, grouping, precision, type] = match;
  if (Number(width ?? 0) > 1 << 20 || Number(precision ?? 0) > 1 << 20) {
    throw new PyError("ValueError", "Too many decimal digits in format string");
  }
  return {
    fill,
    align,
    sign: sign ?? "",
    unsignedZero: z !== undefined,
    alternate: alternate !== undefined,
    zero: zero !== undefined,
    width: Number(width ?? 0),
    grouping,
    precision: precision === undefined ? null : Number(precision),
    type: type ?? "",
  };
}

function unknown(type: string, value: Value): PyError {
  return new PyError("ValueError", `Unknown format code '${type}' for object of type '${typeName(value)}'`);
}

function formatText(text: string, spec: Spec): string {
  if (spec.type !== "" && spec.type !== "s") throw unknown(spec.type, text);
  if (
    spec.sign !== "" || spec.unsignedZero || spec.alternate || spec.grouping !== undefined ||
    spec.align === "="
  ) {
    throw new PyError("ValueError", "not allowed in string format specifier");
  }
  const body = spec.precision === null ? text : Array.from(text).slice(0, spec.precision).join("");
  return pad("", body, spec, "<");
}

function formatInteger(value: bigint, spec: Spec): string {
  const { type } = spec;
  if ("eEfFgG%".includes(type) && type !== "") return formatFloat(Number(value), spec);
  if (spec.unsignedZero) {
    throw new PyError(
      "ValueError",
      "Negative zero coercion (z) not allowed in format specifier with integer",
    );
  }
  if (spec.precision !== null) {
    throw new PyError("ValueError", "Precision not allowed in integer format specifier");
  }
  if (type === "c") {
    if (spec.sign !== "") {
      throw new PyError("ValueError", "Sign not allowed with integer format specifier 'c'");
    }
    if (value < 0n || value > 0x10ffffn) throw new PyError("OverflowError", "%c arg not in range(0x110000)");
    return pad("", String.fromCodePoint(Number(value)), spec, ">");
  }
  const base = { "": 10, d: 10, n: 10, b: 2, o: 8, x: 16, X: 16 }[type];
  if (base === undefined) throw unknown(type, value);
  if (spec.grouping === "," && base !== 10) {
    throw new PyError("ValueError", `Cannot specify ',' with '${type}'.`);
  }
  const digits = (value < 0n ? -value : value).toString(base);
  const prefix = spec.alternate && base !== 10 ? `0${type}` : "";
  const cased = type === "X" ? digits.toUpperCase() : digits;
  return number(signOf(value < 0n, spec) + prefix, cased, "", base === 10 ? 3 : 4, spec);
}

function formatFloat(value: number, spec: Spec): string {
  const { type, precision, alternate } = spec;
  const lower = type.toLowerCase();
  if (!["", "e", "f", "g", "n", "%"].includes(lower) || type === "N") throw unknown(type, value);
  let body: string;
  if (type === "" && precision === null) {
    body = floatRepr(Math.abs(value));
  } else if (type === "%") {
    body = `${floatBody("f", value * 100, precision ?? 6, alternate)}%`;
  } else if (type === "") {
    body = shortest(value, precision!, alternate);
  } else {
    body = floatBody(lower === "n" ? "g" : lower, value, precision ?? 6, alternate);
  }
  if (type !== "" && type !== "%" && type === type.toUpperCase()) body = body.toUpperCase();
  const whole = /^\d*/.exec(body)![0];
  const isZero = Number.isFinite(value) && !/[1-9]/.test(body.replace(/e.*$/i, ""));
  const isNegative = (value < 0 || Object.is(value, -0)) && !(spec.unsignedZero && isZero);
  return number(signOf(isNegative, spec), whole, body.slice(whole.length), 3, spec);
}

/** `format(x, ".3")`: as `g`, with at least one digit after the point, and an exponent from the precision on. */
function shortest(value: number, precision: number, alternate: boolean): string {
  const body = floatBody("g", value, precision, alternate);
  if (!/^\d+$/.test(body)) return body;
  return body.length < Math.max(1, precision) ? `${body}.0` : floatBody("e", value, body.length - 1, false)
    .replace(/\.?0+e/, "e");
}

function signOf(negative: boolean, { sign }: Spec): string {
  return negative ? "-" : sign === "+" || sign === " " ? sign : "";
}

/** Groups the digits before the point, and fills with zeros, which are grouped as well. */
function number(sign: string, whole: string, rest: string, group: number, spec: Spec): string {
  const zeros = spec.zero && spec.align === undefined || (spec.fill === "0" && spec.align === "=");
  let digits = whole;
  if (zeros && /^\d|^[0-9a-fA-F]/.test(whole)) {
    const room = spec.width - sign.length - rest.length;
    while (grouped(digits, spec.grouping, group).length < room) digits = `0${digits}`;
    // A separator cannot come first.
    const text = grouped(digits, spec.grouping, group);
    return pad(sign, text + rest, { ...spec, fill: "0", align: "=" }, "=");
  }
  return pad(
    sign,
    grouped(digits, spec.grouping, group) + rest,
    zeros ? { ...spec, fill: "0", align: "=" } : spec,
    ">",
  );
}

function grouped(digits: string, separator: string | undefined, group: number): string {
  if (separator === undefined || separator === "") return digits;
  let text = digits.slice(-group);
  for (let end = digits.length - group; end > 0; end -= group) {
    text = digits.slice(Math.max(0, end - group), end) + separator + text;
  }
  return text;
}

function pad(sign: string, body: string, spec: Spec, normally: string): string {
  const missing = spec.width - sign.length - codePointLength(body);
  if (missing <= 0) return sign + body;
  const fill = spec.fill ?? (spec.zero ? "0" : " ");
  const align = spec.align ?? normally;
  if (align === "=") return sign + fill.repeat(missing) + body;
  if (align === "<") return sign + body + fill.repeat(missing);
  if (align === ">") return fill.repeat(missing) + sign + body;
  const before = Math.floor(missing / 2);
  return fill.repeat(before) + sign + body + fill.repeat(missing - before);
}
