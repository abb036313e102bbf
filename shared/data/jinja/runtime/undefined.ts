import { repr } from "../../../python/values/repr.ts";
import { PyError, PyObject, typeName, type Value } from "../../../python/values/value.ts";

/**
 * Jinja2's undefined value: it prints as nothing, has no items and is false; whatever else is tried with it throws an
 * `UndefinedError` of Python's.
 */
export class Undefined extends PyObject {
  readonly typeName = "Undefined";
  readonly #message: () => string;
  readonly #error: string;

  constructor(message: () => string, error = "UndefinedError") {
    super();
    this.#message = message;
    this.#error = error;
  }

  repr(): string {
    return "Undefined";
  }
  override str(): string {
    return "";
  }
  override truthy(): boolean {
    return false;
  }
  override length(): number {
    return 0;
  }
  override iterate(): Iterable<Value> {
    return [];
  }
  override equals(other: Value): boolean {
    return other instanceof Undefined;
  }
  override reversed(): Iterable<Value> {
    return [];
  }
  override attribute(name: string): Value | undefined {
    // The environment knows the names that every object has.
    return name.startsWith("__") && name.endsWith("__") ? undefined : this.use();
  }
  override item(): Value {
    return this.use();
  }
  override call(): Value {
    return this.use();
  }
  override use(): never {
    throw new PyError(this.#error, this.#message());
  }
}

export function undefinedName(name: string): Undefined {
  return new Undefined(() => `'${name}' is undefined`);
}

/** Of `value.key` or `value[key]`. */
export function undefinedItem(value: Value, key: Value): Undefined {
  return new Undefined(() => {
    const owner = value === null ? "None" : `${typeName(value)} object`;
    return typeof key === "string"
      ? `'${owner}' has no attribute ${repr(key)}`
      : `${owner} has no element ${repr(key)}`;
  });
}

/** Of an attribute that Jinja2's sandbox hides. */
export function unsafeAttribute(value: Value, name: string): Undefined {
  return new Undefined(
    () => `access to attribute '${name}' of '${typeName(value)}' object is unsafe.`,
    "SecurityError",
  );
}
