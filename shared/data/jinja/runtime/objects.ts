import { bind, type Method, type Parameters, parameters } from "../../../python/values/parameters.ts";
import {
  type Kwargs,
  PyError,
  PyObject,
  Tuple,
  UnsupportedError,
  type Value,
} from "../../../python/values/value.ts";

/** An object whose printed form holds a memory address, which differs in each run. */
export abstract class Unprintable extends PyObject {
  repr(): string {
    throw new UnsupportedError(`the printed form of a ${this.typeName}, which holds an address`);
  }
}

/** `value.method`, not called yet. */
export class BoundMethod<Self> extends Unprintable {
  readonly typeName = "builtin_function_or_method";
  override readonly callable = true;
  readonly #name: string;
  readonly #self: Self;
  readonly #method: Method<Self>;

  constructor(name: string, self: Self, method: Method<Self>) {
    super();
    this.#name = name;
    this.#self = self;
    this.#method = method;
  }

  override call(args: readonly Value[], kwargs: Kwargs): Value {
    return this.#method.run(this.#self, bind(this.#name, this.#method.parameters, args, kwargs));
  }
}

export class PyFunction extends Unprintable {
  readonly typeName = "function";
  override readonly callable = true;
  readonly #run: (args: readonly Value[], kwargs: Kwargs) => Value;
  readonly #attributes: ReadonlyMap<string, Value>;

  constructor(
    run: (args: readonly Value[], kwargs: Kwargs) => Value,
    attributes: ReadonlyMap<string, Value> = new Map(),
  ) {
    super();
    this.#run = run;
    this.#attributes = attributes;
  }

  override call(args: readonly Value[], kwargs: Kwargs): Value {
    return this.#run(args, kwargs);
  }

  override attribute(name: string): Value | undefined {
    return this.#attributes.get(name);
  }
}

/** A function with named parameters: see `parameters`. */
export function pyFunction(
  name: string,
  signature: string,
  run: (...args: (Value | undefined)[]) => Value,
): PyFunction {
  const expected: Parameters = parameters(signature);
  return new PyFunction((args, kwargs) => run(...bind(name, expected, args, kwargs)));
}

/** A generator or an iterator: its items come once. */
export class PyIterator extends Unprintable {
  readonly typeName: string;
  readonly #iterator: Iterator<Value>;

  constructor(items: Iterable<Value>, typeName = "generator") {
    super();
    this.#iterator = items[Symbol.iterator]();
    this.typeName = typeName;
  }

  /** A consumer that stops early leaves the rest to the next one. */
  override iterate(): Iterable<Value> {
    const next = () => this.#iterator.next();
    return { [Symbol.iterator]: () => ({ next }) };
  }
}

/** A text marked as safe HTML. It prints and compares as its text; operations that would escape are not supported. */
export class Markup extends PyObject {
  readonly typeName = "Markup";
  readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }

  repr(): string {
    throw new UnsupportedError("the printed form of HTML-safe text");
  }
  override str(): string {
    return this.text;
  }
  override truthy(): boolean {
    return this.text !== "";
  }
  override length(): number {
    return Array.from(this.text).length;
  }
  override iterate(): Iterable<Value> {
    return Array.from(this.text, (char) => new Markup(char));
  }
  override equals(other: Value): boolean {
    return other === this.text || (other instanceof Markup && other.text === this.text);
  }
  override attribute(): Value {
    return this.use();
  }
  override item(): Value {
    return this.use();
  }
  override use(): never {
    throw new UnsupportedError("an operation on HTML-safe text (of the filters escape or safe)");
  }
}

export class Namespace extends PyObject {
  readonly typeName = "Namespace";
  readonly #fields: Map<Value, Value>;
  readonly #print: (fields: Map<Value, Value>) => string;

  constructor(fields: Map<Value, Value>, print: (fields: Map<Value, Value>) => string) {
    super();
    for (const name of fields.keys()) checkName(name);
    this.#fields = fields;
    this.#print = print;
  }

  repr(): string {
    return `<Namespace ${this.#print(this.#fields)}>`;
  }
  override attribute(name: string): Value | undefined {
    return this.#fields.get(name);
  }
  set(name: string, value: Value): void {
    checkName(name);
    this.#fields.set(name, value);
  }
}

function checkName(name: Value): void {
  if (typeof name === "string" && name.startsWith("_")) {
    throw new PyError(
      "SecurityError",
      `Chat templates cannot store underscore-prefixed attributes on a namespace, but got '${name}'.`,
    );
  }
}

/** What `groupby` gives: a tuple whose items have names. */
export class GroupTuple extends Tuple {
  get grouper(): Value {
    return this[0]!;
  }
  get list(): Value {
    return this[1]!;
  }
}
