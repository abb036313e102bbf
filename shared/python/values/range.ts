import { count } from "./protocols.ts";
import { sliceIndexes } from "./subscript.ts";
import { PyObject, type Value } from "./value.ts";

/** `range(start, stop, step)`. */
export class Range extends PyObject {
  readonly typeName = "range";
  readonly start: number;
  readonly stop: number;
  readonly step: number;

  constructor(start: number, stop: number, step: number) {
    super();
    this.start = start;
    this.stop = stop;
    this.step = step;
  }

  repr(): string {
    const step = this.step === 1 ? "" : `, ${this.step}`;
    return `range(${this.start}, ${this.stop}${step})`;
  }

  override length(): number {
    return Math.max(0, Math.ceil((this.stop - this.start) / this.step));
  }

  override *iterate(): Iterable<Value> {
    const size = this.length();
    for (let i = 0; i < size; i++) yield this.#at(i);
  }

  override *reversed(): Iterable<Value> {
    for (let i = this.length() - 1; i >= 0; i--) yield this.#at(i);
  }

  override equals(other: Value): boolean {
    if (!(other instanceof Range)) return false;
    const size = this.length();
    return size === other.length() && (size === 0 || this.start === other.start) &&
      (size <= 1 || this.step === other.step);
  }

  override item(key: Value): Value | undefined {
    if (typeof key !== "bigint" && typeof key !== "boolean") return undefined;
    const index = count(key);
    const size = this.length();
    return index < -size || index >= size ? undefined : this.#at(index < 0 ? index + size : index);
  }

  slice(start: Value, stop: Value, step: Value): Value {
    const part = sliceIndexes(this.length(), start, stop, step);
    const at = (i: number) => this.start + i * this.step;
    const first = at(part.first);
    return new Range(first, first + part.count * part.step * this.step, part.step * this.step);
  }

  override attribute(name: string): Value | undefined {
    if (name === "start" || name === "stop" || name === "step") return BigInt(this[name]);
    return undefined;
  }

  #at(index: number): bigint {
    return BigInt(this.start + index * this.step);
  }
}
