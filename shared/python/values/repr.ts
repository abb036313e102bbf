/** `repr` and `str`: how Python prints a value. */
import { floatRepr } from "../numbers/float_repr.ts";
import { strRepr } from "../text/str_repr.ts";
import { PyError, Tuple, type Value } from "./value.ts";

/** Python refuses about as deep a nesting. */
const MAX_DEPTH = 990;

export function repr(value: Value, depth = 0): string {
  if (typeof value === "string") return strRepr(value);
  if (typeof value !== "object" || value === null) return scalarRepr(value);
  if (depth > MAX_DEPTH) {
    throw new PyError(
      "RecursionError",
      "maximum recursion depth exceeded while getting the repr of an object",
    );
  }
  if (Array.isArray(value)) {
    // An index loop: a callback per item would triple the stack that a deep value needs.
    const items: string[] = [];
    for (const item of value) items.push(repr(item, depth + 1));
    if (value instanceof Tuple) return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
    return `[${items.join(", ")}]`;
  }
  if (value instanceof Map) {
    const fields: string[] = [];
    for (const [key, field] of value) fields.push(`${repr(key, depth + 1)}: ${repr(field, depth + 1)}`);
    return `{${fields.join(", ")}}`;
  }
  return value.repr();
}

export function str(value: Value): string {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return scalarRepr(value);
  return Array.isArray(value) || value instanceof Map ? repr(value) : value.str();
}

function scalarRepr(value: null | boolean | bigint | number): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "bigint" ? value.toString() : floatRepr(value);
}
