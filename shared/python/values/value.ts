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

export type Kwargs = ReadonlyMap<string, Value>;

/** Any other object of Python. What a class does not override, its objects cannot do. */
export abstract class PyObject {
  /** The name of its class, as Python's errors have it. */
  abstract readonly typeName: string;
  readonly callable: boolean = false;

  abstract repr(): string;
  str(): string {
    return this.repr();
  }
  /** `bool(value)`. */
  truthy(): boolean {
    const length = this.length();
    return length === null || length > 0;
  }
  /** `len(value)`; null if it has none. */
  length(): number | null {
    return null;
  }
  /** `iter(value)`; null if it has none. */
  iterate(): Iterable<Value> | null {
    return null;
  }
  /** `reversed(value)`; null if it has none. */
  reversed(): Iterable<Value> | null {
    return null;
  }
  /** `item in value`; null: by iterating. */
  contains(_item: Value): boolean | null {
    return null;
  }
  equals(other: Value): boolean {
    return this === other;
  }
  /** `value.name`; undefined if there is none. */
  attribute(_name: string): Value | undefined {
    return undefined;
  }
  /** `value[key]`; undefined if there is none. */
  item(_key: Value): Value | undefined {
    return undefined;
  }
  call(_args: readonly Value[], _kwargs: Kwargs): Value {
    throw new PyError("TypeError", `'${this.typeName}' object is not callable`);
  }
  /** Called before anything but printing, iterating and truth is tried: an undefined value throws here. */
  use(): void {}
}

/** A part of Jinja2 or Python that is not supported; the message names it. */
export class UnsupportedError extends Error {
  override readonly name = "UnsupportedError";
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
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "float";
  if (typeof value === "string") return "str";
  if (value instanceof Tuple) return "tuple";
  if (Array.isArray(value)) return "list";
  return value instanceof Map ? "dict" : value.typeName;
}
