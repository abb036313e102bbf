/** The methods of `list`, `tuple` and `dict` that change nothing, and the attributes of numbers. */
import { equals, findKey, hashable } from "../values/compare.ts";
import { DictView } from "../values/dict_view.ts";
import { type Method, method } from "../values/parameters.ts";
import { count, iterate } from "../values/protocols.ts";
import { repr } from "../values/repr.ts";
import { PyError, Tuple, tuple, UnsupportedError, type Value } from "../values/value.ts";

type Dict = Map<Value, Value>;

const countItem = method<Value[]>(
  "value, /",
  (self, value) => BigInt(self.filter((item) => equals(item, value!)).length),
);
const index = method<Value[]>("value, start?, stop?, /", (self, value, start, stop) => {
  const bound = (given: Value | undefined, otherwise: number) => {
    const at = given === undefined ? otherwise : count(given);
    return at < 0 ? Math.max(0, at + self.length) : at;
  };
  const end = Math.min(self.length, bound(stop, self.length));
  for (let i = bound(start, 0); i < end; i++) if (equals(self[i]!, value!)) return BigInt(i);
  const what = self instanceof Tuple ? "tuple.index(x): x not in tuple" : `${repr(value!)} is not in list`;
  throw new PyError("ValueError", what);
});

export const LIST_METHODS: ReadonlyMap<string, Method<Value[]>> = new Map(Object.entries({
  copy: method<Value[]>("/", (self) => [...self]),
  count: countItem,
  index,
}));

export const TUPLE_METHODS: ReadonlyMap<string, Method<Value[]>> = new Map(
  Object.entries({ count: countItem, index }),
);

export const DICT_METHODS: ReadonlyMap<string, Method<Dict>> = new Map(Object.entries({
  copy: method<Dict>("/", (self) => new Map(self)),
  fromkeys: method<Dict>("iterable, value?, /", (_, keys, value) => fromKeys(keys!, value)),
  get: method<Dict>("key, default?, /", (self, key, otherwise) => {
    if (typeof key === "string") return self.get(key) ?? (self.has(key) ? null : otherwise ?? null);
    hashable(key!);
    const found = findKey(self, key!);
    return found === undefined ? otherwise ?? null : self.get(found)!;
  }),
  items: method<Dict>("/", (self) => new DictView(self, "items")),
  keys: method<Dict>("/", (self) => new DictView(self, "keys")),
  values: method<Dict>("/", (self) => new DictView(self, "values")),
}));

/** `dict.fromkeys(keys, value)`. */
export function fromKeys(keys: Value, value: Value | undefined): Map<Value, Value> {
  const made = new Map<Value, Value>();
  for (const key of iterate(keys)) setItem(made, key, value ?? null);
  return made;
}

/** `map[key] = value`: a key that equals one that is there keeps that one. */
export function setItem(map: Map<Value, Value>, key: Value, value: Value): void {
  hashable(key);
  map.set(findKey(map, key) ?? key, value);
}

const lacking = (name: string) => () => {
  throw new UnsupportedError(`the method ${name} of a number`);
};

export const NUMBER_METHODS: ReadonlyMap<string, Method<bigint | number>> = new Map(Object.entries({
  conjugate: method<bigint | number>("/", (self) => self),
  as_integer_ratio: method<bigint | number>("/", (self) => integerRatio(self)),
}));

export const INT_METHODS: ReadonlyMap<string, Method<bigint | number>> = new Map(Object.entries({
  bit_length: method<bigint | number>("/", (self) => self === 0n ? 0n : BigInt(binaryDigits(self).length)),
  bit_count: method<bigint | number>("/", (self) => BigInt(binaryDigits(self).replaceAll("0", "").length)),
  to_bytes: method<bigint | number>("length?, byteorder?", lacking("to_bytes")),
  from_bytes: method<bigint | number>("bytes?, byteorder?", lacking("from_bytes")),
}));

export const FLOAT_METHODS: ReadonlyMap<string, Method<bigint | number>> = new Map(Object.entries({
  is_integer: method<bigint | number>("/", (self) => Number.isInteger(self)),
  hex: method<bigint | number>("/", lacking("hex")),
  fromhex: method<bigint | number>("text?", lacking("fromhex")),
}));

/** `real`, `imag`, `numerator`, `denominator`. */
export function numberAttribute(value: bigint | number, name: string): Value | undefined {
  if (name === "real") return value;
  if (name === "imag") return typeof value === "bigint" ? 0n : 0;
  if (typeof value !== "bigint") return undefined;
  return name === "numerator" ? value : name === "denominator" ? 1n : undefined;
}

function binaryDigits(value: bigint | number): string {
  const whole = BigInt(value);
  return (whole < 0n ? -whole : whole).toString(2);
}

function integerRatio(value: bigint | number): Value {
  if (typeof value === "bigint") return tuple([value, 1n]);
  if (!Number.isFinite(value)) {
    const [type, what] = Number.isNaN(value) ? ["ValueError", "NaN"] : ["OverflowError", "Infinity"];
    throw new PyError(type!, `cannot convert ${what} to integer ratio`);
  }
  let bottom = 1n;
  let top = value;
  while (!Number.isInteger(top)) {
    top *= 2;
    bottom *= 2n;
  }
  return tuple([BigInt(top), bottom]);
}
