import { contains, equals, findKey } from "./compare.ts";
import { repr } from "./repr.ts";
import { lengthOrNull } from "./protocols.ts";
import { PyObject, Tuple, tuple, type Value } from "./value.ts";

type ViewKind = "keys" | "values" | "items";

/** `dict.keys()`, `dict.values()` and `dict.items()`. */
export class DictView extends PyObject {
  readonly typeName: string;
  readonly kind: ViewKind;
  readonly #map: ReadonlyMap<Value, Value>;

  constructor(map: ReadonlyMap<Value, Value>, kind: ViewKind) {
    super();
    this.#map = map;
    this.kind = kind;
    this.typeName = `dict_${kind}`;
  }

  repr(): string {
    return `${this.typeName}(${repr(Array.from(this.iterate()))})`;
  }

  override length(): number {
    return this.#map.size;
  }

  override *iterate(): Iterable<Value> {
    for (const [key, value] of this.#map) {
      yield this.kind === "keys" ? key : this.kind === "values" ? value : tuple([key, value]);
    }
  }

  override reversed(): Iterable<Value> {
    return Array.from(this.iterate()).reverse();
  }

  override contains(item: Value): boolean | null {
    if (this.kind === "keys") return findKey(this.#map, item) !== undefined;
    if (this.kind === "values") return null;
    if (!(item instanceof Tuple) || item.length !== 2) return false;
    const key = findKey(this.#map, item[0]!);
    return key !== undefined && equals(this.#map.get(key)!, item[1]!);
  }

  /** Keys and items are sets, values are not. */
  override equals(other: Value): boolean {
    if (this === other) return true;
    if (this.kind === "values" || !(other instanceof DictView) || other.kind === "values") return false;
    if (lengthOrNull(other) !== this.length()) return false;
    return Array.from(this.iterate()).every((item) => contains(other, item));
  }
}
