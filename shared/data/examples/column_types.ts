/** The columns of a row with their types, as an error shows them. */
import { quote } from "../../errors.ts";
import type { PyValue } from "../../python/values/value.ts";

const MAX_COLUMNS = 10;
const MAX_DEPTH = 3;
const MAX_CHARS = 80;

/** `"turns" (list<{speaker: string}>), "score" (float)`. */
export function columnTypes(fields: ReadonlyMap<string, PyValue>): string {
  const shown = [...fields].slice(0, MAX_COLUMNS).map(([name, value]) =>
    `${quote(name)} (${cut(typeOf(value))})`
  );
  const more = fields.size - shown.length;
  return [...shown, ...more > 0 ? [`and ${more} more`] : []].join(", ") || "no fields";
}

function typeOf(value: PyValue, depth = 0): string {
  if (value === null) return "null";
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "float";
  if (depth === MAX_DEPTH) return "…";
  if (Array.isArray(value)) {
    return value.length === 0 ? "empty list" : `list<${typeOf(value[0]!, depth + 1)}>`;
  }
  return `{${[...value].map(([name, inner]) => `${name}: ${typeOf(inner, depth + 1)}`).join(", ")}}`;
}

function cut(text: string): string {
  return text.length <= MAX_CHARS ? text : `${text.slice(0, MAX_CHARS - 1)}…`;
}
