/** What every value can be asked: truth, length, items. */
import { codePointLength } from "../text/code_points.ts";
import { PyError, PyObject, typeName, type Value } from "./value.ts";

/** `bool(value)`. */
export function truthy(value: Value): boolean {
  if (value === null) return false;
  if (typeof value === "boolean") return value;
  if (typeof value === "bigint") return value !== 0n;
  if (typeof value === "number") return value !== 0;
  if (typeof value === "string") return value !== "";
  if (Array.isArray(value)) return value.length > 0;
  return value instanceof Map ? value.size > 0 : value.truthy();
}

/** `len(value)`, or null if it has none. */
export function lengthOrNull(value: Value): number | null {
  if (typeof value === "string") return codePointLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  return value instanceof PyObject ? value.length() : null;
}

/** `len(value)`. Throws a `TypeError` of Python's. */
export function length(value: Value): number {
  const count = lengthOrNull(value);
  if (count === null) throw new PyError("TypeError", `object of type '${typeName(value)}' has no len()`);
  return count;
}

/** `iter(value)`, or null if it has none: the items of a list, the characters of a text, the keys of a dict. */
export function iterateOrNull(value: Value): Iterable<Value> | null {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value;
  if (value instanceof Map) return value.keys();
  return value instanceof PyObject ? value.iterate() : null;
}

/** `iter(value)`. Throws a `TypeError` of Python's. */
export function iterate(value: Value): Iterable<Value> {
  const items = iterateOrNull(value);
  if (items === null) throw new PyError("TypeError", `'${typeName(value)}' object is not iterable`);
  return items;
}

/** `list(value)`, or the list itself. */
export function listOf(value: Value): readonly Value[] {
  return Array.isArray(value) ? value : Array.from(iterate(value));
}

/** `reversed(value)`, or null if it has none. */
export function reversedOrNull(value: Value): Iterable<Value> | null {
  if (typeof value === "string") return Array.from(value).reverse();
  if (Array.isArray(value)) return Array.from(value).reverse();
  if (value instanceof Map) return Array.from(value.keys()).reverse();
  return value instanceof PyObject ? value.reversed() : null;
}

/** A bool, an int or a float as a number of its kind (`True` is 1), or null. */
export function numeric(value: Value): bigint | number | null {
  if (typeof value === "bigint" || typeof value === "number") return value;
  return typeof value === "boolean" ? (value ? 1n : 0n) : null;
}

/** An int or a bool where Python takes an index or a count. Throws a `TypeError` of Python's. */
export function integer(value: Value): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value === "boolean") return value ? 1n : 0n;
  use(value);
  throw new PyError("TypeError", `'${typeName(value)}' object cannot be interpreted as an integer`);
}

/** `integer`, as a number: what lies beyond ±2^53 is cut to it. */
export function count(value: Value): number {
  const whole = integer(value);
  const limit = Number.MAX_SAFE_INTEGER;
  return whole > BigInt(limit) ? limit : whole < BigInt(-limit) ? -limit : Number(whole);
}

/** An undefined value throws. */
export function use(value: Value): void {
  if (value instanceof PyObject) value.use();
}
