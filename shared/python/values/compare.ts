/** `==`, `<` and `in`. */
import { compareText } from "../text/compare.ts";
import { iterateOrNull, numeric, use } from "./protocols.ts";
import { PyError, PyObject, Tuple, typeName, type Value } from "./value.ts";

export function equals(left: Value, right: Value): boolean {
  if (left === right) return true;
  if (typeof left === "string" || typeof right === "string") {
    return left instanceof PyObject ? left.equals(right) : right instanceof PyObject && right.equals(left);
  }
  const a = numeric(left);
  if (a !== null) {
    const b = numeric(right);
    // deno-lint-ignore eqeqeq -- a bigint and a number are equal in value, never in type
    return b !== null && a == b;
  }
  if (left instanceof PyObject) return left.equals(right);
  if (right instanceof PyObject) return right.equals(left);
  if (Array.isArray(left)) return Array.isArray(right) && equalLists(left, right);
  return left instanceof Map && right instanceof Map && equalMaps(left, right);
}

function equalLists(left: readonly Value[], right: readonly Value[]): boolean {
  return left instanceof Tuple === right instanceof Tuple && left.length === right.length &&
    left.every((item, i) => equals(item, right[i]!));
}

function equalMaps(left: ReadonlyMap<Value, Value>, right: ReadonlyMap<Value, Value>): boolean {
  if (left.size !== right.size) return false;
  for (const [key, value] of left) {
    const found = findKey(right, key);
    if (found === undefined || !equals(value, right.get(found)!)) return false;
  }
  return true;
}

/**
 * The key of a dict that equals a value, or undefined: 1, 1.0 and True are the same key. Throws a `TypeError` of
 * Python's for a value that can be no key.
 */
export function findKey(map: ReadonlyMap<Value, Value>, key: Value): Value | undefined {
  if (map.has(key)) return key;
  if (typeof key === "string" || key === null) return undefined;
  if (typeof key === "object") {
    hashable(key);
    if (Array.isArray(key)) { for (const other of map.keys()) if (equals(key, other)) return other; }
    return undefined;
  }
  const value = Number(key);
  const forms: Value[] = [value, value === 1, value !== 0];
  if (Number.isInteger(value)) forms.push(typeof key === "bigint" ? key : BigInt(value));
  return forms.find((form) => map.has(form) && equals(form, key));
}

/** Throws Python's `TypeError` for a value that cannot be a dict's key. */
export function hashable(value: Value): void {
  if (value instanceof Tuple) value.forEach(hashable);
  else if (Array.isArray(value) || value instanceof Map) {
    throw new PyError("TypeError", `unhashable type: '${typeName(value)}'`);
  }
}

export type OrderOperator = "<" | "<=" | ">" | ">=";

/** `left < right` and its like. Throws a `TypeError` of Python's for values that have no order. */
export function ordered(left: Value, operator: OrderOperator, right: Value): boolean {
  const a = numeric(left);
  const b = numeric(right);
  if (a !== null && b !== null) {
    if (operator === "<") return a < b;
    if (operator === "<=") return a <= b;
    return operator === ">" ? a > b : a >= b;
  }
  if (typeof left === "string" && typeof right === "string") {
    return holds(compareText(left, right), operator);
  }
  if (Array.isArray(left) && Array.isArray(right) && left instanceof Tuple === right instanceof Tuple) {
    const at = left.findIndex((item, i) => i < right.length && !equals(item, right[i]!));
    if (at !== -1) return ordered(left[at]!, operator, right[at]!);
    return holds(left.length - right.length, operator);
  }
  use(left);
  use(right);
  throw new PyError(
    "TypeError",
    `'${operator}' not supported between instances of '${typeName(left)}' and '${typeName(right)}'`,
  );
}

function holds(difference: number, operator: OrderOperator): boolean {
  if (operator === "<") return difference < 0;
  if (operator === "<=") return difference <= 0;
  return operator === ">" ? difference > 0 : difference >= 0;
}

/** `sorted(items, key=key, reverse=reverse)`: stable, by `<` alone. */
export function sorted<T>(items: readonly T[], key: (item: T) => Value, reverse = false): T[] {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  const compare = (left: Value, right: Value) =>
    ordered(left, "<", right) ? -1 : ordered(right, "<", left) ? 1 : 0;
  keyed.sort((left, right) => reverse ? compare(right.key, left.key) : compare(left.key, right.key));
  return keyed.map(({ item }) => item);
}

/** `item in container`. Throws a `TypeError` of Python's. */
export function contains(container: Value, item: Value): boolean {
  if (typeof container === "string") {
    if (typeof item === "string") return container.includes(item);
    throw new PyError("TypeError", `'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (Array.isArray(container)) return container.some((other) => equals(other, item));
  if (container instanceof Map) return findKey(container, item) !== undefined;
  const known = container instanceof PyObject ? container.contains(item) : null;
  if (known !== null) return known;
  const items = iterateOrNull(container);
  if (items === null) {
    throw new PyError("TypeError", `argument of type '${typeName(container)}' is not iterable`);
  }
  for (const other of items) if (equals(other, item)) return true;
  return false;
}
