/**
 * Python's values in TypeScript. A row keeps what its file says: 1 is an `int` (bigint), 1.0 a `float` (number), and the
 * keys of an object keep the file's order, which a plain object would lose for keys such as "10".
 */

/** What JSON can say. */
export type PyValue = null | boolean | bigint | number | string | PyValue[] | Map<string, PyValue>;

/** What a template can compute besides: keys that are no texts, tuples, functions, ... */
export type Value = null | boolean | bigint | number | string | Value[] | Map<Value, Value> | PyObject;

/** A tuple: `Array.isArray` holds, so that whatever reads lists reads tuples. */
export class Tuple extends Array<Value> {
  /** Methods such as `map` and `slice` give lists. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }
}

/** `tuple(items)`. */
export function tuple(items: Iterable<Value>): Tuple {
  const made = new Tuple();
  for (const item of items) made.push(item);
  return made;
}

/** Any other object of Python. */
export abstract class PyObject {
  /** The name of its class, as Python's errors have it. */
  abstract readonly typeName: string;
  /** `repr(value)`. */
  abstract repr(): string;
  /** `str(value)`. */
  str(): string {
    return this.repr();
  }
}

/** An exception of Python's: `type` is its class ("TypeError"). */
export class PyError extends Error {
  override readonly name = "PyError";
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/** `type(value).__name__`. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  switch (typeof value) {
    case "boolean":
      return "bool";
    case "bigint":
      return "int";
    case "number":
      return "float";
    case "string":
      return "str";
  }
  if (value instanceof Tuple) return "tuple";
  if (Array.isArray(value)) return "list";
  return value instanceof Map ? "dict" : value.typeName;
}
