/** Filters that apply filters and tests to the items of a list: `map`, `select` and their like. */
import { iterate, truthy } from "../../../python/values/protocols.ts";
import { type Kwargs, PyError, type Value } from "../../../python/values/value.ts";
import { getAttribute } from "../runtime/environment.ts";
import { attributeGetter, filter, type FilterFunction } from "./filter_function.ts";
import { PyIterator } from "../runtime/objects.ts";
import type { TestFunction } from "./test_function.ts";
import { Undefined, undefinedItem } from "../runtime/undefined.ts";

interface Registry {
  findFilter(name: string): FilterFunction | undefined;
  findTest(name: string): TestFunction | undefined;
}

function unknown(kind: string, name: Value | undefined): PyError {
  return new PyError("TemplateAssertionError", `No ${kind} named '${name}'.`);
}

function mapper(registry: Registry, args: readonly Value[], kwargs: Kwargs): (item: Value) => Value {
  if (args.length === 0 && kwargs.has("attribute")) {
    const extra = [...kwargs.keys()].find((key) => key !== "attribute" && key !== "default");
    if (extra !== undefined) {
      throw new PyError("FilterArgumentError", `Unexpected keyword argument '${extra}'`);
    }
    return attributeGetter(kwargs.get("attribute"), kwargs.get("default"));
  }
  const [name, ...rest] = args;
  if (name === undefined) throw new PyError("FilterArgumentError", "map requires a filter argument");
  return (item) => {
    const found = typeof name === "string" ? registry.findFilter(name) : undefined;
    if (found === undefined) throw unknown("filter", name);
    return found(item, rest, kwargs);
  };
}

function map(registry: Registry): FilterFunction {
  return (value, args, kwargs) =>
    new PyIterator(function* () {
      if (!truthy(value)) return;
      const apply = mapper(registry, args, kwargs);
      for (const item of iterate(value)) yield apply(item);
    }());
}

function selector(
  registry: Registry,
  args: readonly Value[],
  kwargs: Kwargs,
  byAttribute: boolean,
): (item: Value) => boolean {
  let given = args;
  let get = (item: Value) => item;
  if (byAttribute) {
    if (given.length === 0) {
      throw new PyError("FilterArgumentError", "Missing parameter for attribute name");
    }
    get = attributeGetter(given[0]);
    given = given.slice(1);
  }
  const [name, ...rest] = given;
  if (name === undefined) return (item) => truthy(get(item));
  return (item) => {
    const found = typeof name === "string" ? registry.findTest(name) : undefined;
    if (found === undefined) throw unknown("test", name);
    return found(get(item), rest, kwargs);
  };
}

function selection(registry: Registry, byAttribute: boolean, wanted: boolean): FilterFunction {
  return (value, args, kwargs) =>
    new PyIterator(function* () {
      if (!truthy(value)) return;
      const holds = selector(registry, args, kwargs, byAttribute);
      for (const item of iterate(value)) if (holds(item) === wanted) yield item;
    }());
}

/** `value|attr("name")`: the attribute, never the item. */
const attr = filter("name", (value, name) => {
  if (typeof name !== "string") throw new PyError("TypeError", "attribute name must be string");
  if (value instanceof Undefined) return value.use();
  return value instanceof Map && value.has(name) && getAttribute(new Map(), name) instanceof Undefined
    ? undefinedItem(value, name)
    : getAttribute(value, name);
});

export function selectionFilters(registry: Registry): Readonly<Record<string, FilterFunction>> {
  return {
    attr,
    map: map(registry),
    reject: selection(registry, false, false),
    rejectattr: selection(registry, true, false),
    select: selection(registry, false, true),
    selectattr: selection(registry, true, true),
  };
}
