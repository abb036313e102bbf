import { contains, equals, hashable, ordered, sorted } from "../../../python/values/compare.ts";
import { DictView } from "../../../python/values/dict_view.ts";
import { checkItems } from "../../../python/values/limits.ts";
import {
  count,
  iterate,
  length,
  lengthOrNull,
  listOf,
  reversedOrNull,
  truthy,
  use,
} from "../../../python/values/protocols.ts";
import { slice as sliceOf } from "../../../python/values/subscript.ts";
import { PyError, tuple, typeName, type Value } from "../../../python/values/value.ts";
import {
  type Argument,
  attributeGetter,
  filter,
  type FilterFunction,
  ignoreCase,
  or,
} from "./filter_function.ts";
import { GroupTuple, PyIterator } from "../runtime/objects.ts";
import { Undefined } from "../runtime/undefined.ts";

const flag = (value: Argument) => value !== undefined && truthy(value);
const generator = (items: () => Generator<Value>) => new PyIterator(items());

function first(value: Value): Value {
  const { done, value: item } = iterate(value)[Symbol.iterator]().next();
  return done ? new Undefined(() => "No first item, sequence was empty.") : item;
}

function last(value: Value): Value {
  const items = reversedOrNull(value);
  if (items === null) {
    throw new PyError("TypeError", `'${typeName(value)}' object is not reversible`);
  }
  const { done, value: item } = items[Symbol.iterator]().next();
  return done ? new Undefined(() => "No last item, sequence was empty.") : item;
}

function reverse(value: Value): Value {
  if (typeof value === "string") return sliceOf(value, null, null, -1n);
  const items = reversedOrNull(value);
  if (items !== null) return new PyIterator(items, `${typeName(value)}_reverseiterator`);
  return Array.from(iterate(value)).reverse();
}

/** Keys of several attributes at once: `"age,name"`. */
function sortKey(attribute: Argument, caseSensitive: boolean): (item: Value) => Value {
  const names = typeof attribute === "string" ? attribute.split(",") : [attribute];
  const getters = names.map((name) => attributeGetter(name));
  return (item) =>
    getters.map((get) => {
      const value = get(item);
      return caseSensitive ? value : ignoreCase(value);
    });
}

function sort(value: Value, ...[reversed, caseSensitive, attribute]: Argument[]): Value {
  return sorted(listOf(value), sortKey(attribute, flag(caseSensitive)), flag(reversed));
}

function dictSort(value: Value, ...[caseSensitive, by, reversed]: Argument[]): Value {
  const at = by === undefined || by === "key" ? 0 : by === "value" ? 1 : null;
  if (at === null) {
    throw new PyError("FilterArgumentError", 'You can only sort by either "key" or "value"');
  }
  if (!(value instanceof Map)) {
    use(value);
    throw new PyError("AttributeError", `'${typeName(value)}' object has no attribute 'items'`);
  }
  const key = (item: Value) => {
    const part = (item as Value[])[at]!;
    return flag(caseSensitive) ? part : ignoreCase(part);
  };
  return sorted(listOf(new DictView(value, "items")), key, flag(reversed));
}

function unique(value: Value, ...[caseSensitive, attribute]: Argument[]): Value {
  const get = attributeGetter(attribute);
  return generator(function* () {
    const seen: Value[] = [];
    for (const item of iterate(value)) {
      const found = get(item);
      const key = flag(caseSensitive) ? found : ignoreCase(found);
      hashable(key);
      if (contains(seen, key)) continue;
      seen.push(key);
      yield item;
    }
  });
}

function extreme(sign: "<" | ">"): FilterFunction {
  return filter("case_sensitive?, attribute?", (value, caseSensitive, attribute) => {
    const get = attributeGetter(attribute);
    const key = (item: Value) => flag(caseSensitive) ? get(item) : ignoreCase(get(item));
    let best: { item: Value; key: Value } | null = null;
    for (const item of iterate(value)) {
      const own = key(item);
      if (best === null || ordered(own, sign, best.key)) best = { item, key: own };
    }
    return best === null ? new Undefined(() => "No aggregated item, sequence was empty.") : best.item;
  });
}

function groupBy(value: Value, ...[attribute, otherwise, caseSensitive]: Argument[]): Value {
  const get = attributeGetter(attribute, otherwise);
  const key = (item: Value) => flag(caseSensitive) ? get(item) : ignoreCase(get(item));
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(listOf(value), key)) {
    const own = key(item);
    const open = groups.at(-1);
    if (open !== undefined && equals(open.key, own)) open.items.push(item);
    else groups.push({ key: own, items: [item] });
  }
  return groups.map(({ items }) => {
    const group = new GroupTuple();
    group.push(get(items[0]!), items);
    return group;
  });
}

function batch(value: Value, ...[size, fill]: Argument[]): Value {
  const limit = count(size!);
  checkItems(limit);
  return generator(function* () {
    let row: Value[] = [];
    for (const item of iterate(value)) {
      if (row.length === limit) {
        yield row;
        row = [];
      }
      row.push(item);
    }
    if (row.length === 0) return;
    if (fill !== undefined && fill !== null) { while (row.length < limit) row.push(fill); }
    yield row;
  });
}

function slice(value: Value, ...[slices, fill]: Argument[]): Value {
  return generator(function* () {
    const items = listOf(value);
    const parts = count(slices!);
    checkItems(parts);
    if (parts === 0) throw new PyError("ZeroDivisionError", "integer division or modulo by zero");
    const size = Math.floor(items.length / parts);
    const longer = items.length - size * parts;
    let at = 0;
    for (let i = 0; i < parts; i++) {
      const part = items.slice(at, at += size + (i < longer ? 1 : 0));
      if (fill !== undefined && fill !== null && i >= longer) part.push(fill);
      yield part;
    }
  });
}

function items(value: Value): Value {
  return generator(function* () {
    if (value instanceof Undefined) return;
    if (!(value instanceof Map)) throw new PyError("TypeError", "Can only get item pairs from a mapping.");
    for (const [key, item] of value) yield tuple([key, item]);
  });
}

function list(value: Value): Value {
  checkItems(lengthOrNull(value) ?? 0);
  return Array.from(iterate(value));
}

const size = filter("", (value) => BigInt(length(value)));
const otherwise = filter("default_value?, boolean?", (value, otherwise, boolean) => {
  return value instanceof Undefined || (flag(boolean) && !truthy(value)) ? or(otherwise, "") : value;
});

export const COLLECTION_FILTERS: Readonly<Record<string, FilterFunction>> = {
  batch: filter("linecount, fill_with?", batch),
  count: size,
  d: otherwise,
  default: otherwise,
  dictsort: filter("case_sensitive?, by?, reverse?", dictSort),
  first: filter("", first),
  groupby: filter("attribute, default?, case_sensitive?", groupBy),
  items: filter("", items),
  last: filter("", last),
  length: size,
  list: filter("", list),
  max: extreme(">"),
  min: extreme("<"),
  reverse: filter("", reverse),
  slice: filter("slices, fill_with?", slice),
  sort: filter("reverse?, case_sensitive?, attribute?", sort),
  unique: filter("case_sensitive?, attribute?", unique),
};
