/** `value[key]` and `value[start:stop:step]`. */
import { hasSurrogates } from "../text/code_points.ts";
import { findKey } from "./compare.ts";
import { count } from "./protocols.ts";
import { PyError, PyObject, Tuple, tuple, typeName, type Value } from "./value.ts";

/** `value[key]`, or undefined if Python raises a LookupError or a TypeError. */
export function subscript(value: Value, key: Value): Value | undefined {
  if (value instanceof Map) {
    if (typeof key === "string") return value.get(key);
    if (Array.isArray(key) && !(key instanceof Tuple)) return undefined;
    if (key instanceof Map) return undefined;
    const found = findKey(value, key);
    return found === undefined ? undefined : value.get(found);
  }
  if (value instanceof PyObject) return value.item(key);
  if (typeof key !== "bigint" && typeof key !== "boolean") return undefined;
  const index = Number(key);
  if (Array.isArray(value)) return value.at(index);
  if (typeof value !== "string") return undefined;
  const characters = hasSurrogates(value) ? Array.from(value) : value;
  return index < -characters.length || index >= characters.length ? undefined : characters.at(index);
}

/** Which indexes a slice takes of `length` items: CPython's `PySlice_AdjustIndices`. */
export function sliceIndexes(
  length: number,
  start: Value,
  stop: Value,
  step: Value,
): { first: number; count: number; step: number } {
  const by = step === null ? 1 : sliceBound(step);
  if (by === 0) throw new PyError("ValueError", "slice step cannot be zero");
  const clamp = (bound: Value, missing: number) => {
    if (bound === null) return missing;
    let index = sliceBound(bound);
    if (index < 0) index += length;
    return by < 0 ? Math.min(Math.max(index, -1), length - 1) : Math.min(Math.max(index, 0), length);
  };
  const first = clamp(start, by < 0 ? length - 1 : 0);
  const end = clamp(stop, by < 0 ? -1 : length);
  return { first, count: Math.max(0, Math.ceil((end - first) / by)), step: by };
}

function sliceBound(value: Value): number {
  if (typeof value !== "bigint" && typeof value !== "boolean") {
    throw new PyError("TypeError", "slice indices must be integers or None or have an __index__ method");
  }
  return count(value);
}

/** An object whose slices are of its own kind. */
interface Sliceable {
  slice(start: Value, stop: Value, step: Value): Value;
}

/** `value[start:stop:step]`; a bound that is missing is null. */
export function slice(value: Value, start: Value, stop: Value, step: Value): Value {
  if (typeof value === "string") {
    const simple = hasSurrogates(value) ? Array.from(value) : value;
    const { first, count, step: by } = sliceIndexes(simple.length, start, stop, step);
    if (by === 1 && typeof simple === "string") return simple.slice(first, first + count);
    let text = "";
    for (let i = 0; i < count; i++) text += simple[first + i * by];
    return text;
  }
  if (Array.isArray(value)) {
    const { first, count, step: by } = sliceIndexes(value.length, start, stop, step);
    const items = Array.from({ length: count }, (_, i) => value[first + i * by]!);
    return value instanceof Tuple ? tuple(items) : items;
  }
  if (value instanceof Map) throw new PyError("TypeError", "unhashable type: 'slice'");
  if (value instanceof PyObject) {
    value.use();
    if ("slice" in value) return (value as PyObject & Sliceable).slice(start, stop, step);
  }
  throw new PyError("TypeError", `'${typeName(value)}' object is not subscriptable`);
}
