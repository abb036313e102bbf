/**
 * Null as absence. Tables (Arrow, Parquet) give every row every column and every object every field, and fill what is not
 * there with null; transformers drops such fields of a message before a template sees them.
 */
import type { PyValue } from "../../python/values/value.ts";

export function withoutNulls(fields: ReadonlyMap<string, PyValue>): Map<string, PyValue> {
  return new Map([...fields].filter(([, value]) => value !== null));
}

/** Keywords of JSON Schema whose value may be null; everywhere else in a schema null says nothing. */
const NULL_VALUED = new Set(["default", "const"]);

/** A tool's description without the null fields of any level. Items of lists (`enum: ["a", null]`) stay. */
export function withoutSchemaNulls(value: PyValue): PyValue {
  if (Array.isArray(value)) return value.map(withoutSchemaNulls);
  if (!(value instanceof Map)) return value;
  const kept = [...value].filter(([key, field]) => field !== null || NULL_VALUED.has(key));
  return new Map(kept.map(([key, field]) => [key, withoutSchemaNulls(field)]));
}

/** Whether a null field is anywhere inside. */
export function hasNullField(value: PyValue): boolean {
  if (Array.isArray(value)) return value.some(hasNullField);
  if (!(value instanceof Map)) return false;
  return [...value.values()].some((field) => field === null || hasNullField(field));
}
