import { equals } from "../../../python/values/compare.ts";
import { bind, parameters } from "../../../python/values/parameters.ts";
import { iterate, lengthOrNull } from "../../../python/values/protocols.ts";
import { type Kwargs, PyError, PyObject, tuple, type Value } from "../../../python/values/value.ts";
import { PyFunction } from "./objects.ts";
import { Undefined } from "./undefined.ts";

const RECURSION = parameters("iterable");

/** `loop`: where a loop stands. It looks ahead only on demand. */
export class LoopContext extends PyObject {
  readonly typeName = "LoopContext";
  override readonly callable = true;
  readonly #recurse: ((items: Value, depth: number) => string) | null;
  readonly #depth0: number;
  #iterator: Iterator<Value>;
  #length: number | null;
  #index0 = -1;
  #after: Value | undefined;
  #current: Value | undefined;
  #before: Value | undefined;
  #lastChanged: Value | undefined;

  constructor(items: Value, recurse: ((items: Value, depth: number) => string) | null = null, depth0 = 0) {
    super();
    this.#iterator = iterate(items)[Symbol.iterator]();
    this.#length = lengthOrNull(items);
    this.#recurse = recurse;
    this.#depth0 = depth0;
  }

  next(): Value | undefined {
    const item = this.#peek();
    this.#after = undefined;
    if (item === undefined) return undefined;
    this.#index0++;
    this.#before = this.#current;
    this.#current = item;
    return item;
  }

  #peek(): Value | undefined {
    if (this.#after !== undefined) return this.#after;
    const { done, value } = this.#iterator.next();
    this.#after = done ? undefined : value;
    return this.#after;
  }

  override length(): number {
    if (this.#length === null) {
      const rest: Value[] = [];
      for (let next = this.#iterator.next(); !next.done; next = this.#iterator.next()) rest.push(next.value);
      this.#iterator = rest[Symbol.iterator]();
      this.#length = rest.length + this.#index0 + 1 + (this.#after === undefined ? 0 : 1);
    }
    return this.#length;
  }

  repr(): string {
    return `<LoopContext ${this.#index0 + 1}/${this.length()}>`;
  }

  override *iterate(): Iterable<Value> {
    for (let item = this.next(); item !== undefined; item = this.next()) yield tuple([item, this]);
  }

  override call(args: readonly Value[], kwargs: Kwargs): Value {
    const [items] = bind("loop", RECURSION, args, kwargs);
    if (this.#recurse === null) {
      throw new PyError("TypeError", "The loop must have the 'recursive' marker to be called recursively.");
    }
    return this.#recurse(items!, this.#depth0 + 1);
  }

  override attribute(name: string): Value | undefined {
    if (name === "index") return BigInt(this.#index0 + 1);
    if (name === "index0") return BigInt(this.#index0);
    if (name === "revindex") return BigInt(this.length() - this.#index0);
    if (name === "revindex0") return BigInt(this.length() - this.#index0 - 1);
    if (name === "first") return this.#index0 === 0;
    if (name === "last") return this.#peek() === undefined;
    if (name === "length") return BigInt(this.length());
    if (name === "depth") return BigInt(this.#depth0 + 1);
    if (name === "depth0") return BigInt(this.#depth0);
    if (name === "previtem") {
      return this.#index0 === 0 ? new Undefined(() => "there is no previous item") : this.#before!;
    }
    if (name === "nextitem") return this.#nextItem();
    if (name === "cycle") return new PyFunction((args) => this.#cycle(args));
    if (name === "changed") return new PyFunction((args) => this.#changed(tuple(args)));
    return undefined;
  }

  #nextItem(): Value {
    const item = this.#peek();
    return item === undefined ? new Undefined(() => "there is no next item") : item;
  }

  #cycle(values: readonly Value[]): Value {
    if (values.length === 0) throw new PyError("TypeError", "no items for cycling given");
    return values[this.#index0 % values.length]!;
  }

  #changed(value: Value): boolean {
    if (this.#lastChanged !== undefined && equals(this.#lastChanged, value)) return false;
    this.#lastChanged = value;
    return true;
  }
}
